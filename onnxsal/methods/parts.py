"""What methods have in common: a trace that holds a layer's maps and the gradient of the score at them; axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import onnx_ir as ir

from onnxsal.anatomy import Layer
from onnxsal.anatomy.steps import steps_of
from onnxsal.autodiff import PLAIN, RuleSet, gradients_of
from onnxsal.autodiff.rules.quantised import plain_pair
from onnxsal.errors import UsageError
from onnxsal.graph import Program
from onnxsal.graph.dequantised import arithmetic, dequantised, layout
from onnxsal.graph.program import Trace
from onnxsal.graph.shapes import is_float
from onnxsal.graph.signs import never_negative

Along = Literal["first", "last"]
By = Literal["segment", "channel", "cell"]


def axes_along(along: Along | None, rank: int) -> tuple[int, ...]:
    """Return along which of so many axes of positions a mask changes; all of them where none is named."""
    return tuple(range(rank)) if along is None else (0,) if along == "first" else (rank - 1,)


def by_of(by: By, along: Along | None, channels: Any, rank: int) -> tuple[By, Along | None]:
    """Return what masks cover where there is one channel: bands along the first axis are what ``channel`` tells apart.

    Raises: UsageError: there is nothing to tell apart.
    """
    if by != "channel" or channels != 1:
        return by, along
    if rank < 2:
        raise UsageError("option by=channel: there is one channel, which it would cover whole; by=segment tells when")
    return "segment", "first"


def activation(op: Trace, layer: Layer) -> ir.Value:
    """Return the feature maps of a layer, float32 [B, K, h, w].

    In a quantised graph they are read from the integers: reading the float in front would undo their fusion.
    """
    value = op[layer.name]
    node = value.producer()
    if node is not None and node.op_type == "QuantizeLinear":
        value = _number(op, value, (*node.inputs[1:], None)[:2], **layout(node))
    elif not is_float(value) and (steps := steps_of(value)) is not None:
        value = _number(op, value, steps)
    elif node is not None and node.op_type == "DequantizeLinear" and not node.domain:
        value = dequantised(op, node) or value
    return layer.maps(op, value)


def _number(op: Trace, value: ir.Value, steps: Sequence[ir.Value | None], **where: int) -> ir.Value:
    """Dequantised as arithmetic: one more DequantizeLinear would have a part in what the runtime fuses."""
    scale, zero = steps
    assert scale is not None
    found = arithmetic(op, value, scale, zero, **where)
    return op.DequantizeLinear(value, scale, zero) if found is None else found


def trace_with_gradient(score: Program, layer: Layer, rules: RuleSet = PLAIN) -> tuple[Trace, ir.Value, ir.Value]:
    """Return a trace, the layer's maps A, and the gradient g of the score at them; both float32 [B, K, h, w]."""
    op = score.extend()
    (g,) = gradients_of(op, op["score"], [op[layer.name]], rules)
    g = _by_value(op, g, op[layer.name])
    return op, activation(op, layer), layer.maps(op, g)


def _by_value(op: Trace, g: ir.Value, value: ir.Value) -> ir.Value:
    """Between integer operators a gradient counts steps; maps are of what these stand for."""
    steps = None if is_float(value) else steps_of(value)
    if steps is None or plain_pair(value.producer()):
        return g
    return op.Div(g, steps[0])


def combine(op: Trace, weights: ir.Value, maps: ir.Value, *, rectify: bool = True) -> ir.Value:
    """Return sum_k w_k A_k, [B, h, w], without its negative part unless told otherwise; w [B, K, 1, 1] or like A."""
    total = op.ReduceSum(op.Mul(weights, maps), [1], keepdims=0)
    return op.Relu(total) if rectify else total


def halves(op: Trace, maps: ir.Value, g: ir.Value) -> list[tuple[ir.Value, ir.Value]]:
    """Return maps and gradients of which no map is negative: A+ with g and, where A may be below 0, A- with -g.

    A = A+ - A-, so a model that put out both halves would be the same function, and these its gradients.
    """
    if never_negative(maps):
        return [(maps, g)]
    return [(op.Relu(maps), g), (op.Relu(op.Neg(maps)), op.Neg(g))]


def combine_halves(op: Trace, sides: Sequence[tuple[ir.Value, ir.Value]]) -> ir.Value:
    """Return the rectified sum over channels of weights times maps, over all the pairs of these; [B, h, w]."""
    return op.Relu(op.total([combine(op, weights, maps, rectify=False) for weights, maps in sides]))


def divide(op: Trace, a: ir.Value, b: ir.Value) -> ir.Value:
    """Return a / b, and 0 where b is 0."""
    zero = op.Equal(b, 0.0)
    return op.Where(zero, 0.0, op.Div(a, op.Where(zero, 1.0, b)))
