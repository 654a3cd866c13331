"""Dequantising as arithmetic: bit for bit what ONNX Runtime's DequantizeLinear gives."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxsal.graph.dequantised import dequantised
from onnxsal.graph.program import Trace

LAYOUTS = {
    "one": ((4, 6), (), {}),
    "vector of one": ((4, 6), (1,), {}),
    "rows": ((4, 6), (4,), {"axis": 0}),
    "columns": ((4, 6), (6,), {}),
    "last of three": ((2, 4, 3), (3,), {"axis": -1}),
    "blocks": ((4, 6), (2, 6), {"axis": 0, "block_size": 2}),
    "a short block": ((5, 6), (3, 6), {"axis": 0, "block_size": 2}),
    "blocks of the last": ((2, 3, 8), (2, 3, 2), {"axis": 2, "block_size": 4}),
}
INTEGERS = {
    "INT4": (-8, 7), "UINT4": (0, 15), "INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767),
    "UINT16": (0, 65535),
}  # fmt: skip
FLOATS = ("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ")


def both(tensors: list[onnx.TensorProto], shape: tuple[int, ...], dtype: int, extra: dict[str, int]) -> None:
    """Run a DequantizeLinear of a constant beside its arithmetic; constants are folded by the runtime's own kernels."""
    node = helper.make_node("DequantizeLinear", [t.name for t in tensors], ["y"], **extra)
    out = helper.make_tensor_value_info("y", dtype, shape)
    graph = helper.make_graph([node], "g", [], [out], tensors)
    model = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    )
    trace = Trace(ir.from_proto(model))
    value = dequantised(trace, trace["y"].producer())
    assert value is not None
    proto = trace.finish_with({"y": trace["y"], "found": value}).to_proto()
    assert sum(n.op_type == "DequantizeLinear" for n in proto.graph.node) == 1
    wanted, found = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {})
    assert wanted.dtype == found.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("point", [False, True])
def test_integers(kind: str, layout: str, point: bool) -> None:
    (shape, steps, extra), (low, high) = LAYOUTS[layout], INTEGERS[kind]
    rng, dtype = np.random.default_rng(2), getattr(TensorProto, kind)
    numbers = rng.integers(low, high + 1, shape).reshape(-1).tolist()
    points = rng.integers(low, high + 1, steps).reshape(-1).tolist()
    tensors = [
        helper.make_tensor("x", dtype, shape, numbers),
        numpy_helper.from_array(rng.uniform(0.001, 0.1, steps).astype(np.float32), "s"),
        *([helper.make_tensor("z", dtype, steps, points)] if point else []),
    ]
    both(tensors, shape, TensorProto.FLOAT, extra)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("point", [False, True])
def test_float8(kind: str, point: bool) -> None:
    dtype = getattr(TensorProto, kind)
    numbers = np.random.default_rng(3).normal(0, 3, 24).tolist()
    tensors = [
        helper.make_tensor("x", dtype, (4, 6), numbers),
        numpy_helper.from_array(np.float32(0.02), "s"),
        *([helper.make_tensor("z", dtype, (), [0.0])] if point else []),
    ]
    both(tensors, (4, 6), TensorProto.FLOAT, {})


@pytest.mark.parametrize("kind", ["INT8", "UINT8"])
def test_half_precision_is_rounded_once(kind: str) -> None:
    low, high = INTEGERS[kind]
    dtype = getattr(TensorProto, kind)
    tensors = [
        helper.make_tensor("x", dtype, (16, 16), np.arange(low, high + 1).tolist()),
        numpy_helper.from_array(np.float16(0.0137), "s"),
        helper.make_tensor("z", dtype, (), [3]),
    ]
    both(tensors, (16, 16), TensorProto.FLOAT16, {})


def test_a_bias_of_32_bits() -> None:
    tensors = [
        helper.make_tensor("x", TensorProto.INT32, (3,), [2**30 + 1, -(2**31), 16777217]),
        numpy_helper.from_array(np.array([0.1, 1e-5, 0.3], np.float32), "s"),
    ]
    both(tensors, (3,), TensorProto.FLOAT, {"axis": 0})
