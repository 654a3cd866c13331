"""int8 that is moved: ONNX Runtime loads the graph in newer opsets, and computes what it computes of the file."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

import onnxsal.autodiff as autodiff
from onnxsal.graph import normalise
from onnxsal.graph.moved import is_moved_int8, write_moved
from onnxsal.graph.unsigned import write_unsigned

R = np.random.default_rng(5)
X = R.normal(size=(2, 3, 4)).astype(np.float32)

MOVERS = {
    "Slice": (["first", "last", "axis"], {}),
    "Transpose": ([], {"perm": [2, 1, 0]}),
    "Reshape": (["wide"], {}),
    "Unsqueeze": (["front"], {}),
    "Squeeze": ([], {}),
    "MaxPool": ([], {"kernel_shape": [2]}),
    "Gather": (["axis"], {"axis": 1}),
    "Flatten": ([], {}),
    "Expand": (["same"], {}),
    "Concat": (["d"], {"axis": 0}),
    "Pad": (["pads"], {}),
    "Tile": (["one"], {}),
    "Resize": (["", "double"], {"mode": "nearest"}),
}
CONSTANTS = {
    "s": np.float32(0.03), "z": np.int8(3), "first": np.array([0]), "last": np.array([2]), "axis": np.array([1]),
    "wide": np.array([2, 12]), "front": np.array([0]), "same": np.array([2, 3, 4]), "one": np.array([1, 1, 1]),
    "pads": np.array([0, 1, 0, 0, 0, 0]), "double": np.array([1, 2, 1], np.float32),
}  # fmt: skip


def pair(value: str, to: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [value, "s", "z"], [f"{to}_q"]),
        helper.make_node("DequantizeLinear", [f"{to}_q", "s", "z"], [to]),
    ]


def model(nodes: list[onnx.NodeProto], opset: int, **more: np.ndarray) -> onnx.ModelProto:
    held = {**CONSTANTS, **more}
    read = {name for node in nodes for name in node.input}
    ends = [helper.make_tensor_value_info("x", 1, X.shape), helper.make_tensor_value_info("y", 1, None)]
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in held.items() if k in read]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    )


def ran(proto: onnx.ModelProto, x: np.ndarray = X, *names: str) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"x": x}
    feeds.update({i.name: np.ones(i.shape, np.float32) for i in session.get_inputs() if i.name != "x"})
    return session.run(list(names) or None, feeds)


def mover(name: str) -> onnx.NodeProto:
    more, attributes = MOVERS[name]
    return helper.make_node(name, ["d", *more], ["t"], **attributes)


@pytest.mark.parametrize("name", MOVERS)
@pytest.mark.parametrize("readers", [1, 2])
def test_a_gradient_behind_what_moves_int8(name: str, readers: int) -> None:
    """The runtime loads it, gives the file's numbers, and the slope is the float function's at the rounded ones."""
    nodes = [*pair("x", "d"), mover(name), *(helper.make_node("Exp", ["t"], [f"e{i}"]) for i in range(readers))]
    nodes.append(helper.make_node("Sum", [f"e{i}" for i in range(readers)], ["y"]))
    proto = model(nodes, 17)
    graph = autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"])
    y, slope = ran(graph, X, "y", "grad/x")
    np.testing.assert_array_equal(y, ran(proto)[0])
    d = np.rint(X / np.float32(0.03)) * np.float64(0.03)
    np.testing.assert_allclose(slope, differences(proto, d), rtol=2e-2, atol=1e-3)


def differences(proto: onnx.ModelProto, d: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Of sum(y) of the float function: the file without its quantisers."""
    floats = onnx.ModelProto()
    floats.CopyFrom(proto)
    kept = [n for n in floats.graph.node if "izeLinear" not in n.op_type]
    for node in kept:
        node.input[:] = ["x" if name == "d" else name for name in node.input]
    del floats.graph.node[:]
    floats.graph.node.extend(kept)
    run = ort.InferenceSession(floats.SerializeToString(), providers=["CPUExecutionProvider"])
    found = np.zeros_like(X)
    for i in np.ndindex(*X.shape):
        ends = []
        for sign in (1, -1):
            moved = d.astype(np.float32)
            moved[i] += sign * step
            ends.append(run.run(None, {"x": moved})[0].astype(np.float64).sum())
        found[i] = (ends[0] - ends[1]) / 2 / step
    return found


@pytest.mark.parametrize("opset", [13, 17, 20, 21, 22])
def test_matrix_products_behind_stay_integer(opset: int) -> None:
    """A Transpose and a Reshape, then a product: quantised again in between, the product runs in integers."""
    w = R.integers(-9, 9, (3, 5)).astype(np.int8)
    nodes = [
        *pair("x", "d"),
        helper.make_node("Transpose", ["d"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["t", "rows"], ["r"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["f"]),
        helper.make_node("MatMul", ["r", "f"], ["y"]),
    ]
    proto = model(nodes, opset, rows=np.array([8, 3]), w=w)
    deployed = ran(model(nodes, min(opset, 20), rows=np.array([8, 3]), w=w))[0]  # itself it fails from 21 on
    graph = autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"])
    np.testing.assert_array_equal(ran(graph, X, "y")[0], deployed)


def test_an_attention_reads_what_is_moved_twice() -> None:
    """The backward pass of t t' reads both operands: the forward's pairs stay its own."""
    nodes = [
        *pair("x", "d"),
        helper.make_node("Transpose", ["d"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["d", "t"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y"], axis=-1),
    ]
    proto = model(nodes, 17)
    graph = autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"])
    np.testing.assert_array_equal(ran(graph, X, "y")[0], ran(proto)[0])


@pytest.mark.parametrize("readers", [1, 2])
def test_a_quantiser_behind_what_moves(readers: int) -> None:
    """The runtime quantises ahead of the Transpose as well."""
    nodes = [
        helper.make_node("Neg", ["x"], ["n"]),
        helper.make_node("Transpose", ["n"], ["t"], perm=[2, 0, 1]),
        *pair("t", "d"),
        *(helper.make_node("Exp", ["d"], [f"e{i}"]) for i in range(readers)),
        helper.make_node("Sum", [f"e{i}" for i in range(readers)], ["y"]),
    ]
    proto = model(nodes, 17)
    graph = autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"])
    y, slope = ran(graph, X, "y", "grad/x")
    np.testing.assert_array_equal(y, ran(proto)[0])
    step = np.float64(np.float32(0.03))
    inside = np.abs(np.rint(-X / step) + 3) < 127
    np.testing.assert_allclose(slope, -readers * np.exp(np.rint(-X / step) * step) * inside, rtol=1e-5)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_an_output_keeps_its_name_and_its_values(machine: str) -> None:
    nodes = [*pair("x", "d"), helper.make_node("Transpose", ["d"], ["y"], perm=[1, 0, 2])]
    proto = model(nodes, 17)
    work = normalise(ir.from_proto(proto))
    assert is_moved_int8(work)
    write_moved(work.graph, machine)
    found = ir.to_proto(work)
    onnx.checker.check_model(found, full_check=True)
    np.testing.assert_array_equal(ran(found)[0], ran(proto)[0])


def test_bytes_are_left_to_the_runtime() -> None:
    nodes = [*pair("x", "d"), helper.make_node("Transpose", ["d"], ["t"]), helper.make_node("Exp", ["t"], ["y"])]
    work = normalise(ir.from_proto(model(nodes, 17, z=np.uint8(131))))
    write_unsigned(work.graph, "x86_64")
    before = len(work.graph)
    write_moved(work.graph, "x86_64")
    assert len(work.graph) == before
    assert not is_moved_int8(work)
