"""What a quantiser has clipped: its gate, read from its own integers wherever these tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.registry import Call
from onnxsal.autodiff.rules.coarse import Grid, float_zero, in_range, number_in_front
from onnxsal.autodiff.rules.common import constant, rank_of
from onnxsal.autodiff.rules.gates import inside as gate
from onnxsal.autodiff.rules.windows import operand
from onnxsal.graph.dequantised import own, steps
from onnxsal.graph.extremes import extremes
from onnxsal.graph.shapes import rank
from onnxsal.graph.tape import STRAIGHT_THROUGH, Tape

_MOVES = frozenset({"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Identity"})
_SCALES = frozenset({"Add", "Sub", "Mul", "Div", "Cast"})

Ends = tuple[float | np.ndarray[Any, Any], float | np.ndarray[Any, Any]]
"""The smallest and the largest step, the same for all or, as arrays that broadcast over the value, one per channel."""


def inside(op: Tape, g: ir.Value, q: ir.Value, ends: Ends) -> ir.Value:
    """Return ``g`` where the quantised value is strictly inside its range; an infinite end is none.

    It is compared as a float, which holds every such integer: not every runtime compares bytes.
    """
    closed = [(below, end) for below, end in zip((True, False), ends, strict=True) if np.isfinite(end).all()]
    if not closed:
        return g
    number = op.cast(q, ir.DataType.FLOAT)
    bounds = [(below, op.const(np.asarray(end, np.float32))) for below, end in closed]
    masks = [op.Greater(number, end) if below else op.Less(number, end) for below, end in bounds]
    mask = masks[0] if len(masks) == 1 else op.And(*masks)
    return op.Mul(g, op.cast(mask, g.dtype)) if g.dtype == ir.DataType.FLOAT else op.gate(g, mask)


def limits(node: ir.Node) -> Ends:
    """Return the smallest and the largest value of a QuantizeLinear's type, or what an absorbed Clip leaves of them.

    Infinite where nothing can be clipped: most probabilities of an attention round to its first step, none below it.
    """
    rectifier = absorbed_by(node)
    if rectifier is None:
        return reached(node.outputs[0], *[*node.inputs, None][:3])
    low, high = _type_ends(node.outputs[0])
    least, most = (None if b is None else _quantised(node, b) for b in _bounds(rectifier))
    return low if least is None else np.maximum(low, least), high if most is None else np.minimum(high, most)


def reached(q: ir.Value, number: ir.Value | None, scale: ir.Value | None, zero: ir.Value | None) -> Ends:
    """Return the ends of the type of ``q``, infinite where no ``number`` that is rounded to it can lie beyond."""
    low, high = _type_ends(q)
    s, z = constant(scale), constant(zero)
    if s is None or (zero is not None and z is None):
        return low, high
    first, last = (_rounded(end, s, z) for end in extremes(number))
    return -np.inf if np.all(first >= low) else low, np.inf if np.all(last <= high) else high


def _type_ends(q: ir.Value) -> tuple[float, float]:
    dtype = q.dtype or ir.DataType.UINT8
    return float(dtype.min), float(dtype.max)


def absorbed_by(q: ir.Node) -> ir.Node | None:
    """Return the Relu or Clip whose gate a QuantizeLinear's own thresholds contain, or None."""
    producer = q.inputs[0].producer() if q.inputs[0] is not None else None
    return producer if producer is not None and is_absorbed(producer) else None


def is_absorbed(node: ir.Node) -> bool:
    """Return whether a Relu's or Clip's gate is read from the quantised value behind it, its only reader.

    Reading the float value as well would keep the runtime from fusing it into the integer kernel.
    """
    if node.op_type not in ("Relu", "Clip") or node.domain or node.outputs[0].is_graph_output():
        return False
    readers = list(node.outputs[0].consumers())
    if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
        return False
    q = readers[0]
    numbers = [v for v in (*q.inputs[1:], *node.inputs[1:]) if v is not None]
    if any(constant(v) is None for v in numbers) or STRAIGHT_THROUGH in q.metadata_props:
        return False
    scale = constant(q.inputs[1])
    return scale is not None and (scale.size == 1 or (rank(q.outputs[0]) is not None and not axis_of(q)[1]))


def _bounds(node: ir.Node) -> tuple[float | None, float | None]:
    if node.op_type == "Relu":
        return 0.0, None
    ends = [constant(v) for v in node.inputs[1:3]]
    found = [None if e is None else float(e.reshape(-1)[0]) for e in ends]
    low, high = (*found, None, None)[:2]
    return low, high


def _quantised(node: ir.Node, bound: float) -> float | np.ndarray[Any, Any]:
    scale = constant(node.inputs[1])
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    assert scale is not None
    counted = _rounded(bound, scale, zero)
    if counted.size == 1:
        return float(counted.reshape(-1)[0])
    n = rank_of(node.outputs[0])
    return counted.reshape([-1 if i == axis_of(node)[0] % n else 1 for i in range(n)])


def _rounded(bound: float, scale: np.ndarray[Any, Any], zero: np.ndarray[Any, Any] | None) -> np.ndarray[Any, Any]:
    return np.rint(bound / scale.astype(np.float64)) + (0.0 if zero is None else zero.astype(np.float64))


def is_given(node: ir.Node) -> bool:
    """Whether what is quantised is an input, moved or scaled: it is there as floats, and reading it costs no kernel.

    There the end bins are black and white, as common in pictures as any other.
    """
    value = node.inputs[0]
    while value is not None and (maker := value.producer()) is not None:
        moving = [v for v in maker.inputs if v is not None and constant(v) is None]
        if maker.domain or maker.op_type not in _MOVES | _SCALES or not moving:
            return False
        value = moving[0]
    return value is not None


def not_clipped(call: Call, g: ir.Value) -> ir.Value:
    """The gate of few levels, and with it that of a rectifier in front, which is left to it."""
    op, q, rectifier = call.op, call.node, absorbed_by(call.node)
    x = number_in_front(op, q, rectifier, own)
    scale, zero = operand(call, 1), float_zero(op, q)
    grid = Grid(steps_of(op, q, scale, x), None if zero is None else steps_of(op, q, zero, x))
    if rectifier is not None:
        g = gate(op, g, x, *_bounds(rectifier))
    return in_range(op, g, x, q, grid)


def repeats(call: Call) -> bool:
    """Whether a quantiser only puts moved numbers back onto the grid that they came from.

    The first one has clipped them, with the same gate; unread, this one is dropped by the runtime with its node.
    """
    value = call.node.inputs[0]
    while value is not None and value not in call.wrt and (node := value.producer()) is not None:
        if node.op_type == "DequantizeLinear":
            return _same_grid(call.node, node) and node.inputs[0] not in call.wrt
        if node.op_type not in _MOVES or node.domain:
            return False
        value = node.inputs[0]
    return False


def _same_grid(q: ir.Node, dq: ir.Node) -> bool:
    first = None if dq.inputs[0] is None else dq.inputs[0].producer()
    scale = constant(q.inputs[1])
    if first is None or first.op_type != "QuantizeLinear" or STRAIGHT_THROUGH in first.metadata_props:
        return False
    a, b = (constant(n.inputs[2]) if len(n.inputs) > 2 else None for n in (q, dq))
    same = a is not None and b is not None and np.array_equal(a, b)
    kept = q.outputs[0].dtype == first.outputs[0].dtype and same_scale(q, dq)
    return same and kept and scale is not None and scale.size == 1


def same_scale(q: ir.Node, dq: ir.Node) -> bool:
    if q.inputs[1] is dq.inputs[1]:
        return axis_of(q) == axis_of(dq)
    a, b = constant(q.inputs[1]), constant(dq.inputs[1])
    return a is not None and b is not None and np.array_equal(a, b) and axis_of(q) == axis_of(dq)


def axis_of(node: ir.Node) -> tuple[int, int]:
    scale = node.inputs[1]
    if scale is not None and scale.shape is not None and len(scale.shape) == 0:
        return (0, 0)
    axis, block = node.attributes.get("axis"), node.attributes.get("block_size")
    return (axis.as_int() if axis else 1, block.as_int() if block else 0)


def steps_of(op: Tape, node: ir.Node, scale: ir.Value, x: ir.Value) -> ir.Value:
    return steps(op, scale, x, *axis_of(node))
