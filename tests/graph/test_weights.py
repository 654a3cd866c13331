"""Weights as arrays of their own: the same values and types, in a process that holds them once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.testing import assert_array_equal
from onnx import TensorProto, helper, numpy_helper

from onnxsal.graph import load_ir
from onnxsal.graph.weights import hold


def model(arrays: dict[str, np.ndarray], extra: list[TensorProto] = ()) -> onnx.ModelProto:  # type: ignore[assignment]
    """A graph that carries these weights, and one more inside a subgraph and one in an attribute."""
    inner = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "then", [], [helper.make_tensor_value_info("y", 1, [2])],
        [numpy_helper.from_array(np.array([5, 6], np.float32), "w")],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(np.array([7, 8], np.float32)))],
        "else", [], [helper.make_tensor_value_info("y", 1, [2])],
    )  # fmt: skip
    node = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=other)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("z", 1, [2])],
        [*(numpy_helper.from_array(a, name) for name, a in arrays.items()), *extra],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


TYPES = ["float32", "float64", "float16", "bool", "int8", "uint8", "int32", "int64", "uint16"]


@pytest.mark.parametrize("dtype", TYPES)
def test_every_plain_type_keeps_its_values(dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 2, (3, 4)).astype(dtype)
    held = ir.from_proto(model({"w": array}))
    hold(held)
    weight = held.graph.initializers["w"].const_value
    assert type(weight) is ir.Tensor
    assert (weight.name, weight.numpy().dtype) == ("w", array.dtype)
    assert_array_equal(weight.numpy(), array)


def test_inside_subgraphs_and_attributes_too() -> None:
    held = ir.from_proto(model({"w": np.ones(2, np.float32)}))
    hold(held)
    branches = {g.name: g for g in held.graph.subgraphs()}
    assert type(branches["then"].initializers["w"].const_value) is ir.Tensor
    (constant,) = branches["else"]
    assert_array_equal(constant.attributes["value"].as_tensor().numpy(), [7, 8])
    assert type(constant.attributes["value"].as_tensor()) is ir.Tensor


def test_types_without_plain_bytes_stay_as_they_are() -> None:
    packed = helper.make_tensor("q", TensorProto.INT4, [3], [1, -2, 3])
    text = helper.make_tensor("s", TensorProto.STRING, [1], [b"cat"])
    proto = model({}, [packed, text])
    held = ir.from_proto(proto)
    hold(held)
    back = ir.to_proto(held)
    assert [t.SerializeToString() for t in back.graph.initializer] == [
        t.SerializeToString() for t in proto.graph.initializer
    ]


PEAK = """
import sys
from onnxsal.graph import load_ir
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1000
before = resident()
model = load_ir(sys.argv[1])
for _ in range(3):
    arrays = [v.const_value.numpy() for v in model.graph.initializers.values()]
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_looking_at_weights_takes_no_more_memory(tmp_path: Path) -> None:
    """A model of 80 MB takes that once, whoever looks at it how often."""
    onnx.save(model({f"w{i}": np.ones((1000, 1000), np.float32) for i in range(20)}), tmp_path / "m.onnx")
    done = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path / "m.onnx")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 70 < float(done.stdout) < 120


def test_reading_a_file_holds_its_weights(tmp_path: Path) -> None:
    onnx.save(model({"w": np.ones(2, np.float32)}), tmp_path / "m.onnx")
    assert type(load_ir(tmp_path / "m.onnx").graph.initializers["w"].const_value) is ir.Tensor
