"""Products with packed weights (MatMulNBits): the gradient is that of the weights unpacked, which runtimes fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.contrib import MICROSOFT
from onnxsal.autodiff.decompose import made_of
from onnxsal.autodiff.registry import Call
from onnxsal.errors import UnsupportedError
from onnxsal.graph.names import node_title
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape


@dataclass(frozen=True)
class _Packing:
    """How the weights of a node lie in its bytes: rows of blocks, one scale and one zero point to each block."""

    bits: int
    rows: int
    columns: int
    block: int

    @property
    def blocks(self) -> int:
        """Of one row; the last may be filled up."""
        return -(-self.columns // self.block)


def _product(op: Tape, call: Call, x: ir.Value, packed: ir.Value, scales: ir.Value, *rest: Any) -> ir.Value:
    zeros, order, bias = [*rest, None, None, None][:3]
    how = _packing(call, zeros, order)
    if 0 in (dims(packed) or ()):  # a product that was left out: the result is 0, or the bias
        weight = op.const(np.zeros((how.rows, how.columns)), scales.dtype)
    else:
        numbers = op.Reshape(_unpacked(op, packed, how.bits, scales.dtype), [how.rows, -1])
        numbers = op.Slice(numbers, [0], [how.columns], [1])
        places = _block_of_columns(op, order, how)
        steps = op.Sub(numbers, _zeros(op, zeros, scales, places, how))
        weight = op.Mul(steps, op.Gather(op.Reshape(scales, [how.rows, how.blocks]), places, axis=1))
    y = op.MatMul(x, op.Transpose(weight, perm=[1, 0]))
    return y if bias is None else op.Add(y, bias)


def _packing(call: Call, zeros: ir.Value | None, order: ir.Value | None) -> _Packing:
    """Return how the weights lie. Raises: UnsupportedError: ONNX Runtime computes with other numbers, or not at all."""
    a = call.attributes
    how = _Packing(int(a.get("bits", 4)), int(a["N"]), int(a["K"]), int(a["block_size"]))
    reason = ""
    if how.bits not in (2, 4, 8):
        reason = f"{how.bits} bits, only with 2, 4 and 8"
    elif int(a.get("weight_prepacked", 0)):
        reason = "weights in the layout of one machine (weight_prepacked)"
    elif order is not None and how.bits != 4:
        reason = f"a g_idx and {how.bits} bits, which ONNX Runtime computes with other weights or not at all"
    elif order is not None and zeros is not None and zeros.dtype == ir.DataType.UINT8:
        reason = "a g_idx and packed zero points, which ONNX Runtime leaves out"
    if reason:
        raise UnsupportedError(f"{node_title(call.node)}: no gradient with {reason}")
    return how


def _block_of_columns(op: Tape, order: ir.Value | None, how: _Packing) -> ir.Value:
    """Return of each column the block that it belongs to: its own neighbourhood, unless g_idx names another."""
    if order is None:
        return op.const(np.arange(how.columns) // how.block, ir.DataType.INT64)
    return op.Slice(order, [0], [how.columns], [0])


def _zeros(op: Tape, zeros: ir.Value | None, scales: ir.Value, places: ir.Value, how: _Packing) -> ir.Value:
    """Return one zero point a column; the middle of the range where none are given."""
    if zeros is None:
        return op.const(2.0 ** (how.bits - 1), scales.dtype)
    if zeros.dtype == ir.DataType.UINT8:
        zeros = _unpacked(op, op.Reshape(zeros, [how.rows, -1]), how.bits, scales.dtype)
        return op.Gather(zeros, places, axis=1)
    return op.Gather(op.Reshape(zeros, [how.rows, how.blocks]), places, axis=1)


def _unpacked(op: Tape, packed: ir.Value, bits: int, dtype: ir.DataType | None) -> ir.Value:
    """Return the numbers in bytes along the last axis, the lowest bits first."""
    if bits == 8:
        return op.cast(packed, dtype)
    byte = ir.DataType.UINT8
    shifts = op.const(np.arange(0, 8, bits), byte)
    shifted = op.BitShift(op.Unsqueeze(packed, [-1]), shifts, direction="RIGHT")
    numbers = op.cast(op.BitwiseAnd(shifted, op.const(2**bits - 1, byte)), dtype)
    return op.Reshape(numbers, op.Concat(op.Shape(packed, end=-1), [-1], axis=0))


made_of("MatMulNBits", _product, domain=MICROSOFT, slots=(True, False, True, True, False, True))
