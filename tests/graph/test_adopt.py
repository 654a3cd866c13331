"""Quantisers of ``com.microsoft`` are the standard's: the same numbers from the runtime, and the same gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsal
from onnxsal.autodiff import gradient
from onnxsal.graph import normalise, to_proto
from onnxsal.graph.adopt import MICROSOFT

KINDS = ["INT8", "UINT8", "INT16", "UINT16", "INT4", "UINT4"]
ZERO = {"INT8": -3, "UINT8": 125, "INT16": 40, "UINT16": 32000, "INT4": 1, "UINT4": 7}


def held(name: str, kind: str, numbers: Any) -> onnx.TensorProto:
    array = np.asarray(numbers)
    return helper.make_tensor(name, getattr(TensorProto, kind), array.shape, array.ravel().tolist())


def pair(domain: str, a: str, b: str, **how: int) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [a, "s", "z"], [f"{b}_q"], domain=domain, **how),
        helper.make_node("DequantizeLinear", [f"{b}_q", "s", "z"], [b], domain=domain, **how),
    ]


def model(nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto], shape: list[int], opset: int = 21):
    ends = [helper.make_tensor_value_info("x", 1, shape), helper.make_tensor_value_info("y", 1, None)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def assert_same(ours: onnx.ModelProto, theirs: onnx.ModelProto, x: np.ndarray) -> None:
    """The file's numbers stay, nothing of the runtime's own is left, and both domains have one gradient."""
    deployed = run(ours, {"x": x})["y"]
    feeds = {"x": x, "seed/y": np.random.default_rng(1).normal(size=deployed.shape).astype(np.float32)}
    graphs = [gradient(ir.from_proto(m), of=["y"], wrt=["x"]) for m in (ours, theirs)]
    assert {o.domain for o in graphs[0].opset_import} == {""}
    found, wanted = (run(g, feeds) for g in graphs)
    np.testing.assert_array_equal(found["y"], deployed)
    np.testing.assert_array_equal(found["grad/x"], wanted["grad/x"])
    assert np.abs(found["grad/x"]).max() > 0


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("kind", KINDS)
def test_every_type(kind: str, opset: int) -> None:
    scale = {"8": 0.02, "6": 1e-4, "4": 0.3}[kind[-1]]
    tensors = [numpy_helper.from_array(np.float32(scale), "s"), held("z", kind, ZERO[kind])]
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    ours, theirs = (
        model([*pair(d, "x", "a"), helper.make_node("Mul", ["a", "a"], ["y"])], tensors, [2, 3, 4], o)
        for d, o in ((MICROSOFT, opset), ("", 21))
    )
    assert_same(ours, theirs, x)


@pytest.mark.parametrize(("scale", "how"), [((3,), {}), ((3,), {"axis": 1}), ((4,), {"axis": -1})])
def test_a_scale_a_channel(scale: tuple[int, ...], how: dict[str, int]) -> None:
    rng = np.random.default_rng(2)
    tensors = [numpy_helper.from_array(rng.uniform(0.01, 0.02, scale).astype(np.float32), "s"),
               held("z", "UINT8", rng.integers(99, 140, scale))]  # fmt: skip
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    ours, theirs = (
        model([*pair(d, "x", "a", **how), helper.make_node("Sin", ["a"], ["y"])], tensors, [2, 3, 4])
        for d in (MICROSOFT, "")
    )
    assert_same(ours, theirs, x)


def test_inside_a_branch() -> None:
    value = [helper.make_tensor_value_info("b", 1, None)]
    branches = [
        helper.make_graph([*pair(MICROSOFT, "x", "a"), helper.make_node(op, ["a"], ["b"])], op, [], value)
        for op in ("Sin", "Neg")
    ]
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["t"], keepdims=0),
        helper.make_node("Greater", ["t", "s"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    tensors = [numpy_helper.from_array(np.float32(0.02), "s"), held("z", "INT8", 0)]
    normal = to_proto(normalise(ir.from_proto(model(nodes, tensors, [4], 17))))
    inside = [n for a in normal.graph.node[-1].attribute for n in a.g.node]
    assert {n.domain for n in inside} == {""}
    x = np.array([0.1, -0.2, 0.33, 0.5], np.float32)
    np.testing.assert_array_equal(run(normal, {"x": x})["y"], run(model(nodes, tensors, [4], 17), {"x": x})["y"])


@pytest.mark.parametrize("kind", KINDS[:4])
def test_a_map_is_that_of_the_standard(kind: str) -> None:
    rng, small = np.random.default_rng(4), kind.endswith("8")
    tensors = [
        numpy_helper.from_array(np.float32(0.02 if small else 1e-4), "s"), held("z", kind, ZERO[kind]),
        numpy_helper.from_array(rng.normal(size=(6, 3, 3, 3)).astype(np.float32), "w"),
        numpy_helper.from_array(rng.normal(size=(6, 4)).astype(np.float32), "v"),
    ]  # fmt: skip
    tail = [
        helper.make_node("Conv", ["a", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    x = rng.normal(size=(3, 12, 12)).astype(np.float32)
    maps = []
    for domain, opset in ((MICROSOFT, 17), ("", 21)):
        file = model([*pair(domain, "x", "a"), *tail], tensors, [1, 3, 12, 12], opset)
        file.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, [1, 4]))
        maps.append(onnxsal.explain(onnxsal.load(file), x, method="grad-cam", target=1).raw)
    np.testing.assert_array_equal(*maps)
    assert maps[0].max() > 0


@pytest.mark.parametrize("kind", ["UINT8", "INT8"])
def test_an_integer_convolution_is_one_in_both_domains(kind: str, tmp_path: Path) -> None:
    """Quark's form: input, weights, a bias of int32 and the result, all of com.microsoft, in one integer kernel."""
    rng = np.random.default_rng(6)
    w, bias = rng.integers(-60, 60, (5, 3, 3, 3)).astype(np.int8), rng.integers(-900, 900, 5).astype(np.int32)
    steps = {"s": np.float32(0.02), "ws": np.float32(0.01), "bs": np.float32(0.02 * 0.01)}
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in {**steps, "w": w, "b": bias}.items()]
    tensors += [held("z", kind, ZERO[kind]), held("wz", "INT8", 0), held("bz", "INT32", 0)]
    tensors.append(held("rz", kind, 0 if kind == "UINT8" else -128))  # at the end of the range the Relu is no more
    nodes = [
        *pair(MICROSOFT, "x", "a"),
        *(helper.make_node("DequantizeLinear", [n, f"{n}s", f"{n}z"], [f"{n}d"], domain=MICROSOFT) for n in "wb"),
        helper.make_node("Conv", ["a", "wd", "bd"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "rz"], ["y_q"], domain=MICROSOFT),
        helper.make_node("DequantizeLinear", ["y_q", "s", "rz"], ["y"], domain=MICROSOFT),
    ]
    file, x = model(nodes, tensors, [2, 3, 8, 7], 17), rng.normal(size=(2, 3, 8, 7)).astype(np.float32)
    graph = gradient(ir.from_proto(file), of=["y"], wrt=["x"])
    deployed = run(file, {"x": x})["y"]
    found = run(graph, {"x": x, "seed/y": np.ones_like(deployed)})
    np.testing.assert_array_equal(found["y"], deployed)
    assert np.abs(found["grad/x"]).max() > 0
    for each in (file, graph):
        assert "QLinearConv" in optimised(each, tmp_path / "o.onnx")


def optimised(proto: onnx.ModelProto, path: Path) -> set[str]:
    """Return the operators that the runtime makes of a graph."""
    options = ort.SessionOptions()
    options.log_severity_level, options.optimized_model_filepath = 4, str(path)
    ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return {n.op_type for n in onnx.load(path).graph.node}
