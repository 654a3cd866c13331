"""Peaks of live values, counted by hand."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from onnxsal.graph import infer_shapes
from onnxsal.graph.memory import Footprint, footprint
from onnxsal.graph.program import Trace, empty

ROW = 4 * 100
"""Bytes of [batch, 100] in float32, an image."""


def start() -> tuple[Trace, ir.Value]:
    op = empty(21)
    return op, op.input("x", ir.DataType.FLOAT, ["batch", 100])


def of(op: Trace, y: ir.Value) -> Footprint:
    """Return the footprint of the program that puts out ``y``."""
    model = op.finish_with({str(y.name): y}).model
    infer_shapes(model)
    return footprint(model)


def test_a_chain_holds_two_values_beside_its_ends() -> None:
    op, x = start()
    value = x
    for _ in range(6):
        value = op.Relu(value)
    found = of(op, value)
    assert found.per_image == 4 * ROW  # x, y, and a value with the one made of it
    assert found.fixed == 0


def test_a_value_that_is_read_again_lives_until_then() -> None:
    op, x = start()
    early = op.Relu(x)
    value = early
    for _ in range(6):
        value = op.Neg(value)
    assert of(op, op.Add(op.Neg(value), early)).per_image == 5 * ROW


def test_weights_count_once_and_values_by_the_batch() -> None:
    op, x = start()
    weight = np.zeros((100, 50), np.float32)
    found = of(op, op.MatMul(x, op.const(weight)))
    assert found.fixed == weight.nbytes
    assert found.per_image == ROW + ROW // 2
    assert found.total(8) == weight.nbytes + 8 * (ROW + ROW // 2)


@pytest.mark.parametrize(("dtype", "size"), [(ir.DataType.FLOAT16, 2), (ir.DataType.UINT8, 1), (ir.DataType.INT4, 0.5)])
def test_types_count_by_their_size(dtype: ir.DataType, size: float) -> None:
    op = empty(21)
    x = op.input("x", dtype, [1, 100])
    assert of(op, op.Identity(x)).per_image == 2 * 100 * size


def test_what_nothing_reads_is_gone_at_once() -> None:
    op, x = start()
    op.input("unused", ir.DataType.FLOAT, ["batch", 1, 10, 10])
    value, indices = ir.Value(name="v"), ir.Value(name="i")
    for made in (value, indices):
        made.shape, made.type = ir.Shape(["batch", 100]), ir.TensorType(ir.DataType.FLOAT)
    op.graph.append(ir.node("Split", [x], outputs=[value, indices]))
    y = op.Neg(op.Neg(op.Neg(value)))
    assert of(op, y).per_image == 5 * ROW
