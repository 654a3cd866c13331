"""int8 written as uint8: the same values, in a copy alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxsal
from onnxsal.graph.unsigned import write_unsigned


def pair(readers: int = 1) -> ir.Model:
    """x, quantised to int8 and back, whose float has so many readers."""
    constants = {"scale": np.float32(0.1), "zero": np.int8(-5)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        *(helper.make_node("Neg", ["d"], [f"y{k}"]) for k in range(readers)),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info(f"y{k}", TensorProto.FLOAT, [4]) for k in range(readers)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        value_info=[helper.make_tensor_value_info("q", TensorProto.INT8, [4])],
    )  # fmt: skip
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]))


def ran(model: ir.Model) -> np.ndarray:
    x = np.array([-30, -0.04, 0.06, 30], np.float32)  # outside the range on either side, and near its middle
    return ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": x})[0]


def test_values_stay_and_the_original_too() -> None:
    model = pair()
    work = model.clone()
    write_unsigned(work.graph, "x86_64")
    types = [next(n.outputs[0].dtype for n in m.graph if n.op_type == "QuantizeLinear") for m in (work, model)]
    assert types == [ir.DataType.UINT8, ir.DataType.INT8]
    onnx.checker.check_model(ir.to_proto(work), full_check=True)
    np.testing.assert_array_equal(ran(work), ran(model))


@pytest.mark.parametrize(("readers", "machine"), [(2, "x86_64"), (1, "aarch64")])
def test_what_the_runtime_leaves_signed_stays_signed(readers: int, machine: str) -> None:
    model = pair(readers)
    write_unsigned(model.graph, machine)
    assert {v.dtype for n in model.graph for v in n.outputs if v.name == "q"} == {ir.DataType.INT8}


def test_quantisers_of_weights_stay_signed() -> None:
    """The runtime folds them, and computes with signed weights, by other kernels: scores would not be the file's."""
    model = pair()
    x = model.graph.inputs.pop()
    x.const_value = ir.tensor(np.array([-3, -0.04, 0.06, 3], np.float32), name="x")
    model.graph.register_initializer(x)
    write_unsigned(model.graph, "x86_64")
    assert next(n.outputs[0].dtype for n in model.graph if n.op_type == "QuantizeLinear") == ir.DataType.INT8


def test_scores_beside_a_gradient_are_those_of_quantised_weights() -> None:
    rng = np.random.default_rng(2)
    held = {"s": np.float32(0.03), "z": np.uint8(131), "t": np.float32(0.01), "n": np.int8(0),
            "w": rng.normal(0, 0.6, (32, 16)).astype(np.float32)}  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("QuantizeLinear", ["w", "t", "n"], ["wq"]),
        helper.make_node("DequantizeLinear", ["wq", "t", "n"], ["wd"]),
        helper.make_node("MatMul", ["xd", "wd"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "s", "z"], ["mq"]),
        helper.make_node("DequantizeLinear", ["mq", "s", "z"], ["y"]),
    ]
    ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, [4, k])] for n, k in (("x", 32), ("y", 16))]
    graph = helper.make_graph(nodes, "g", *ends, [numpy_helper.from_array(np.asarray(v), k) for k, v in held.items()])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = rng.normal(size=(4, 32)).astype(np.float32)
    right = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})[0]
    beside = onnxsal.gradient(proto, of=["y"], wrt=["x"])
    session = onnxruntime.InferenceSession(beside.SerializeToString())
    np.testing.assert_array_equal(session.run(["y"], {"x": x, "seed/y": np.ones_like(right)})[0], right)
