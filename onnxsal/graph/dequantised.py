"""Dequantising as arithmetic, bit for bit what DequantizeLinear gives.

What ONNX Runtime does to a DequantizeLinear depends on who reads it: with its operator it becomes an integer kernel, a
matrix of 4 bits, a constant. One more reader undoes that, and the scores are no longer the deployed file's. Cast, Sub
and Mul leave it alone, and of constants they are folded when the inference session loads.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.graph.shapes import dims, rank
from onnxsal.graph.tape import Tape

_AXIS = 1
"""Of DequantizeLinear, where it names none."""


def own(op: Tape, v: ir.Value) -> ir.Value:
    """Return a value for use in a gradient: one that was dequantised as arithmetic on its integers, bit for bit.

    The forward's DequantizeLinear stays the forward's alone: what a runtime does to the readers of one (a Transpose
    becomes a quantised one, equal nodes become one) it would do to the forward too.
    """
    node = v.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.domain:
        return v
    found = dequantised(op, node)
    return v if found is None else found


def dequantised(op: Tape, node: ir.Node) -> ir.Value | None:
    """Return what a DequantizeLinear gives, without it; None where the rank of its input decides and is not known."""
    x, scale, zero = [*node.inputs, None][:3]
    assert x is not None
    assert scale is not None
    return arithmetic(op, x, scale, zero, **layout(node))


def layout(node: ir.Node) -> dict[str, int]:
    """Return which scale of a quantiser belongs to which number, as ``arithmetic`` takes it."""
    return {"axis": _number(node, "axis", _AXIS), "block": _number(node, "block_size", 0)}


def arithmetic(
    op: Tape, x: ir.Value, scale: ir.Value, zero: ir.Value | None, *, axis: int = _AXIS, block: int = 0
) -> ir.Value | None:
    """Return (x - zero) scale in the type of the scale; None where the rank of ``x`` decides and is not known."""
    if scale.dtype is None or (rank(x) is None and dims(scale) not in ((), (1,))):
        return None
    value = op.cast(_wide(op, x), ir.DataType.FLOAT)
    if zero is not None and _counts(zero):
        value = op.Sub(value, steps(op, op.cast(zero, ir.DataType.FLOAT), x, axis, block))
    wide = steps(op, op.cast(scale, ir.DataType.FLOAT), x, axis, block)
    result = op.cast(op.Mul(value, wide), scale.dtype)
    result.shape = None if x.shape is None else x.shape.copy()
    return result


def _wide(op: Tape, x: ir.Value) -> ir.Value:
    """Return the bytes of a weight as int32, folded like the rest.

    OpenVINO takes bytes that are cast to float and scaled for a compressed weight, and reads those above 127 as
    negative where a ConvTranspose takes them behind a Mul.
    """
    weight = x.dtype == ir.DataType.UINT8 and x.const_value is not None and not x.is_graph_input()
    return op.cast(x, ir.DataType.INT32) if weight else x


def steps(op: Tape, v: ir.Value, x: ir.Value, axis: int, block: int = 0) -> ir.Value:
    """Return scales or zero points so that they broadcast over ``x``; a single number as it is.

    Args: axis, block: which entry belongs to which index of ``x``: one to each of the axis, or to each block of it.
    """
    n = rank(x)
    if dims(v) in ((), (1,)) or not n:
        return v
    axis %= n
    if not block:
        return op.Reshape(v, [-1 if i == axis else 1 for i in range(n)])
    return _repeated(op, v, x, axis, block)


def _repeated(op: Tape, v: ir.Value, x: ir.Value, axis: int, block: int) -> ir.Value:
    """The last block may be short."""
    shape = op.Shape(v)
    head, tail = op.Slice(shape, [0], [axis + 1]), op.Slice(shape, [axis + 1], [2**31])
    wide = op.Expand(op.Unsqueeze(v, [axis + 1]), op.Concat(head, [block], tail, axis=0))
    merged = op.Reshape(wide, op.Concat(op.Slice(shape, [0], [axis]), [-1], tail, axis=0))
    return op.Slice(merged, [0], op.Shape(x, start=axis, end=axis + 1), [axis])


def _number(node: ir.Node, name: str, default: int) -> int:
    found = node.attributes.get(name)
    return default if found is None else found.as_int()


def _counts(zero: ir.Value) -> bool:
    """Whether a zero point may be other than 0; of float8 it is always 0."""
    if zero.dtype is not None and zero.dtype.is_floating_point():
        return False
    tensor = None if zero.is_graph_input() else zero.const_value
    return tensor is None or bool(np.any(tensor.numpy()))
