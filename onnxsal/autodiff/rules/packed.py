"""Products with packed weights (MatMulNBits): the gradient is that of the weights unpacked, which runtimes fold."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from onnxsal.autodiff.contrib import MICROSOFT
from onnxsal.autodiff.decompose import made_of
from onnxsal.autodiff.registry import Call
from onnxsal.errors import UnsupportedError
from onnxsal.graph.tape import Tape


def _product(op: Tape, call: Call, x: ir.Value, packed: ir.Value, scales: ir.Value, *rest: Any) -> ir.Value:
    zeros, order, _ = [*rest, None, None, None][:3]
    a = call.attributes
    rows, columns, block = int(a["N"]), int(a["K"]), int(a["block_size"])
    if int(a.get("bits", 4)) != 4 or order is not None:
        raise UnsupportedError(f"MatMulNBits {call.node.name!r}: no gradient with other than 4 bits, or a g_idx")
    blocks = -(-columns // block)
    numbers = op.Reshape(_halves(op, packed, scales.dtype), [rows, blocks, block])
    steps = op.Sub(numbers, _zeros(op, zeros, scales, (rows, blocks)))
    weight = op.Reshape(op.Mul(steps, op.Reshape(scales, [rows, blocks, 1])), [rows, -1])
    kept = op.Slice(weight, [0], [columns], [1])
    return op.MatMul(x, op.Transpose(kept, perm=[1, 0]))  # type: ignore[no-any-return]


def _zeros(op: Tape, zeros: ir.Value | None, scales: ir.Value, grid: tuple[int, int]) -> ir.Value:
    """One zero point a block; the middle of the range where none are given."""
    if zeros is None:
        return op.const(8.0, scales.dtype)
    rows, blocks = grid
    if zeros.dtype == ir.DataType.UINT8:
        zeros = op.Slice(_halves(op, op.Reshape(zeros, [rows, -1]), scales.dtype), [0], [blocks], [1])
    return op.Reshape(zeros, [rows, blocks, 1])  # type: ignore[no-any-return]


def _halves(op: Tape, packed: ir.Value, dtype: ir.DataType | None) -> ir.Value:
    """Two numbers a byte, the lower half first, along the last axis."""
    byte = ir.DataType.UINT8
    halves = (op.BitwiseAnd(packed, op.const(15, byte)), op.BitShift(packed, op.const(4, byte), direction="RIGHT"))
    pairs = op.Concat(*(op.Unsqueeze(op.cast(h, dtype), [-1]) for h in halves), axis=-1)
    return op.Reshape(pairs, op.Concat(op.Shape(packed, end=-1), [-1], axis=0))  # type: ignore[no-any-return]


made_of("MatMulNBits", _product, domain=MICROSOFT, slots=(True,))
