"""The gate of quantisers with few levels: all passes that was not clipped, what is in the first and last bin too.

It is read from the number in front of the quantiser: behind it nobody can tell what was clipped from what was not. At 4
bits and below the end bins hold a good part of the values. At 8 bits they hold little, and the number in front would
cost the time of a second, float forward pass: there the gate stays strictly inside (docs/design.md has the figures).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.autodiff.rules.common import number
from onnxsal.graph.attributes import attributes
from onnxsal.graph.tape import Tape

_FEW = frozenset({"INT4", "UINT4", "INT2", "UINT2"})
Own = Callable[[Tape, ir.Value], ir.Value]
"""Returns a value for use in a gradient, as ``dequantised.own`` does."""


@dataclass(frozen=True)
class Grid:
    """A quantiser's scale and zero point as floats, aligned to the number in front of it."""

    scale: ir.Value
    zero: ir.Value | None


def coarse(q: ir.Node) -> bool:
    """Return whether a QuantizeLinear has so few levels that its end bins count: at most 4 bits, or a Clip behind it.

    A Clip of integers is how a bit width below that of the type is written.
    """
    return _type(q).name in _FEW or _narrowing(q) is not None


def _type(q: ir.Node) -> ir.DataType:
    return q.outputs[0].dtype or ir.DataType.UINT8


def _narrowing(q: ir.Node) -> ir.Node | None:
    readers = q.outputs[0].consumers()
    return next((n for n in readers if n.op_type == "Clip" and not n.domain), None)


def number_in_front(op: Tape, q: ir.Node, rectifier: ir.Node | None, own: Own) -> ir.Value:
    """Return what a quantiser rounds, for use in a gradient.

    A runtime's integer kernel takes the place of an operator between quantisers, the rectifier behind it included, and
    has no float output that could be read: there it is computed again. Types of 4 bits and below have no such kernels.
    """
    x = q.inputs[0] if rectifier is None else rectifier.inputs[0]
    assert x is not None
    node = x.producer()
    if node is None or len(node.outputs) > 1 or _type(q).name in _FEW:
        return x
    sources = [None if v is None else own(op, v) for v in node.inputs]
    if all(a is b for a, b in zip(sources, node.inputs, strict=True)):
        return x
    copy: ir.Value = op.emit(node.op_type, *sources, domain=node.domain, **attributes(node))
    copy.shape = None if x.shape is None else x.shape.copy()
    return copy


def float_zero(op: Tape, q: ir.Node) -> ir.Value | None:
    """Return a quantiser's zero point as a float: runtimes reshape nothing of 4 bits."""
    zero = q.inputs[2] if len(q.inputs) > 2 else None
    if zero is None or q.inputs[1] is None:
        return None
    value = op.cast(zero, q.inputs[1].dtype)
    value.shape = None if zero.shape is None else zero.shape.copy()
    return value


def in_range(op: Tape, g: ir.Value, x: ir.Value, q: ir.Node, grid: Grid) -> ir.Value:
    """Return ``g`` where ``x`` rounds to a number that a quantiser's type holds.

    Where a Clip behind the quantiser ends before the type does, that is the gate.
    """
    low, high = _open_ends(q)
    if low is None and high is None:
        return g
    rounded = op.Round(op.Div(x, grid.scale))
    if grid.zero is not None:
        rounded = op.Add(rounded, grid.zero)
    masks = [] if low is None else [op.GreaterOrEqual(rounded, low)]
    masks += [] if high is None else [op.LessOrEqual(rounded, high)]
    return op.Mul(g, op.cast(masks[0] if len(masks) == 1 else op.And(*masks), g.dtype))


def _open_ends(q: ir.Node) -> tuple[float | None, float | None]:
    """Return the ends of a quantiser's type, None where a Clip behind it is strictly inside."""
    low, high, clip = float(_type(q).min), float(_type(q).max), _narrowing(q)
    bounds = (None, None) if clip is None else [number(v) for v in [*clip.inputs[1:3], None, None][:2]]
    return (
        None if bounds[0] is not None and bounds[0] > low else low,
        None if bounds[1] is not None and bounds[1] < high else high,
    )


def unclipped(op: Tape, g: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
    """Return ``g`` where a Clip of integers has left its input as it was."""
    same = op.Equal(op.cast(x, ir.DataType.FLOAT), op.cast(y, ir.DataType.FLOAT))
    return op.Mul(g, op.cast(same, g.dtype))
