"""Rules of quantisation: straight through within the range, nothing outside it; int8 stays int8."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from onnxsal.autodiff.decompose import by_function
from onnxsal.autodiff.registry import Call, Gradient, vjp
from onnxsal.autodiff.rules.clipping import (
    axis_of,
    inside,
    is_given,
    limits,
    not_clipped,
    repeats,
    same_scale,
    steps_of,
)  # fmt: skip
from onnxsal.autodiff.rules.coarse import coarse
from onnxsal.autodiff.rules.common import constant, rank_of
from onnxsal.autodiff.rules.windows import operand
from onnxsal.graph.attributes import attributes
from onnxsal.graph.dequantised import own
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import STRAIGHT_THROUGH, Tape

_LOOKS = frozenset({"Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal", "Cast", "Shape"})
"""Consumers of a quantised value that carry no gradient (masks of ours among them)."""


def float_weight(op: Tape, w: ir.Value) -> ir.Value:
    """Return a weight for use in a gradient: one dequantised from an initializer is written as arithmetic.

    Runtimes fold Cast, Sub and Mul of constants when they load; DequantizeLinear they run on every call.
    """
    node = w.producer()
    if node is None or any(v is not None and constant(v) is None for v in node.inputs):
        return w
    return own(op, w)


def again(op: Tape, y: ir.Value) -> ir.Value:
    """Return the output of a function of one variable for use in a gradient: between quantisers it is computed again.

    A runtime's integer kernel takes the place of the three nodes and has no float output that could be read.
    """
    node = y.producer()
    source = None if node is None or node.inputs[0] is None else own(op, node.inputs[0])
    readers = [n.op_type for n in y.consumers()]
    if node is None or source is None or source is node.inputs[0] or readers != ["QuantizeLinear"]:
        return y
    copy: ir.Value = op.emit(node.op_type, source, **attributes(node))
    copy.shape = None if y.shape is None else y.shape.copy()
    return copy


def plain_pair(q: ir.Node | None) -> bool:
    """Return whether all that reads a QuantizeLinear's output gives back its own scale: no steps appear."""
    if q is None or q.op_type != "QuantizeLinear":
        return False
    readers = [n for n in q.outputs[0].consumers() if n.op_type not in _LOOKS]
    return all(n.op_type == "DequantizeLinear" and same_scale(q, n) for n in readers)


@vjp("DequantizeLinear", slots=(True, True, False))
def _dequantize(call: Call) -> list[Gradient]:
    """The gradient of a quantised value counts its steps, unless all its readers share its scale."""
    op, x, scale = call.op, operand(call, 0), operand(call, 1)
    g = op.cast(call.g, scale.dtype)  # output_dtype lets what comes out be of another type
    call, dx = replace(call, grads=(g,)), None
    if call.needed[0]:
        dx = g if plain_pair(x.producer()) else op.Mul(g, steps_of(op, call.node, scale, x))
    return [dx, _of_scale(call, x, scale) if call.needed[1] else None]


def _of_scale(call: Call, x: ir.Value, scale: ir.Value) -> ir.Value:
    """y = (q - zero) scale: what dequantising by a scale of one gives, summed over all that share a scale."""
    op, given = call.op, {name: a.value for name, a in call.node.attributes.items() if name != "output_dtype"}
    numbers = op.DequantizeLinear(x, op.full_like(scale, 1), *call.node.inputs[2:], **given)
    numbers.shape = None if x.shape is None else x.shape.copy()
    product, (axis, block) = op.Mul(call.g, numbers), axis_of(call.node)
    if dims(scale) in ((), (1,)) or rank_of(x) == 0:
        return op.reshape_like(op.ReduceSum(product, keepdims=0), scale)
    axis %= rank_of(x)
    if not block:
        return op.ReduceSum(product, [a for a in range(rank_of(x)) if a != axis], keepdims=0)
    return _sum_blocks(op, product, scale, axis, block)


def _sum_blocks(op: Tape, product: ir.Value, scale: ir.Value, axis: int, block: int) -> ir.Value:
    """The last block may be short: it is filled up with zeros."""
    lack = op.Sub(op.Mul(op.Shape(scale, start=axis, end=axis + 1), block), op.Shape(product, start=axis, end=axis + 1))
    n = rank_of(scale)
    full = op.Pad(product, op.Concat([0] * (n + axis), lack, *([[0] * (n - axis - 1)] if axis < n - 1 else []), axis=0))
    shape = op.Shape(scale)
    head, tail = op.Slice(shape, [0], [axis + 1]), op.Slice(shape, [axis + 1], [2**31])
    return op.ReduceSum(op.Reshape(full, op.Concat(head, [block], tail, axis=0)), [axis + 1], keepdims=0)


@vjp("QuantizeLinear", slots=(True, False, False))
def _quantize(call: Call) -> list[Gradient]:
    op, g, y, x, scale = call.op, call.g, call.y, operand(call, 0), operand(call, 1)
    if not plain_pair(call.node):
        g = op.Div(g, steps_of(op, call.node, scale, x))
    if call.node.metadata_props.get(STRAIGHT_THROUGH) == "1" or repeats(call):
        return [g]
    exact = coarse(call.node) or is_given(call.node)
    return [not_clipped(call, g) if exact else inside(op, g, y, limits(call.node))]


@vjp("DynamicQuantizeLinear", slots=(True,))
def _dynamic(call: Call) -> list[Gradient]:
    """Straight through, and nothing by way of the scale: the steps get larger as fewer are counted.

    The scale alone has the derivative of what the standard's function computes it by.
    """
    if call.grads[0] is None:
        return by_function(call)
    return [call.op.Div(call.grads[0], call.node.outputs[1])]
