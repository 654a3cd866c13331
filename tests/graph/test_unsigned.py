"""int8 written as uint8: the same values, in a copy alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

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
