"""The gate of a rectifier: its gradient passes strictly inside the bounds. Written so that the runtime stays fast.

ONNX Runtime's CPU provider keeps convolutions in a blocked layout, and only Conv, Add, Mul, pooling, activations stay
in it; a comparison leaves it, at the price of a reorder for each operand. Between convolutions a mask is therefore a
depthwise 1 x 1 Conv by a huge power of two, clipped to [0, 1] (one fused kernel), and exactly 0 or 1. Elsewhere it is a
comparison, cast and multiplied, which takes half the time of Where. docs/speed.md has the measurements.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.walk import STEP
from onnxsal.graph.scopes import PREFIX
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

BLOCK = 16
"""Channels in a block of the widest blocked layout."""

_HUGE, _LARGE = 2.0**127, 2.0**64
_ELEMENTWISE = frozenset({"Add", "Sum", "Mul", "Relu", "Sigmoid", "Tanh"})
_THROUGH = frozenset({"MaxPool", "AveragePool", "BatchNormalization"})


@dataclass(frozen=True)
class Pooled:
    """Where a gradient came from: ``g``, of the maxima ``y`` of ``x``, put back where these were found."""

    x: ir.Value
    y: ir.Value
    g: ir.Value
    back: Callable[[ir.Value], ir.Value]


POOLED = "sal.pooled"
"""Key of a Pooled in a gradient's ``meta``."""


def inside(op: Tape, g: ir.Value, y: ir.Value, low: float | None, high: float | None) -> ir.Value:
    """Return ``g`` where low < y < high, else 0; ``y`` is a value already clipped to these bounds."""
    bounds = [(b, sign) for b, sign in ((low, 1), (high, -1)) if b is not None]
    if not bounds:
        return g
    pooled = g.meta.get(POOLED)
    if pooled is not None and pooled.x is y:
        return _before_pooling(op, g, pooled, low, high)
    if g.dtype != ir.DataType.FLOAT:
        return op.gate(g, _comparison(op, y, low, high))
    if all(_scalable(b) for b, _ in bounds) and _worthwhile(g, y):
        g = g if blocked(g) else depthwise(op, g, 1.0, _channels(y))
        for mask in _masks(op, y, bounds):
            g = op.Mul(g, mask)
        return g
    return op.Mul(g, op.cast(_comparison(op, y, low, high), g.dtype))


def _before_pooling(op: Tape, g: ir.Value, pooled: Pooled, low: float | None, high: float | None) -> ir.Value:
    """Gate the maxima instead of all that they were chosen from: a maximum is inside just where its source is."""
    gated = pooled.back(inside(op, pooled.g, pooled.y, low, high))
    forget(op, g)
    return gated


def forget(op: Tape, value: ir.Value) -> None:
    """Remove the emitted nodes that a value was computed by, as far as nothing else reads them."""
    node = value.producer()
    if (
        node is None
        or node.graph is not op.graph
        or value.uses()
        or any(not str(v.name).startswith(PREFIX) or v.uses() for v in node.outputs)
    ):
        return
    sources = [v for v in node.inputs if v is not None]
    op.remove(node)
    for source in sources:
        forget(op, source)


def _worthwhile(g: ir.Value, y: ir.Value) -> bool:
    """Whether the blocked layout is on both sides: a strided convolution goes back by ConvTranspose, outside it."""
    if _channels(y) % BLOCK or not blocked(y):
        return False
    node = y.producer()
    before = None if node is None or node.inputs[0] is None else node.inputs[0].producer()
    strides = None if before is None else before.attributes.get("strides")
    return blocked(g) or strides is None or max(strides.as_ints(), default=1) == 1


def _comparison(op: Tape, y: ir.Value, low: float | None, high: float | None) -> ir.Value:
    masks = [] if low is None else [op.Greater(y, low)]
    masks += [] if high is None else [op.Less(y, high)]
    return masks[0] if len(masks) == 1 else op.And(*masks)


def _scalable(bound: float) -> bool:
    """Whether 2^64 times the difference of one unit in the last place is at least 1, and nothing overflows."""
    return bound == 0 or 2.0**-30 < abs(bound) < 2.0**60


def _masks(op: Tape, y: ir.Value, bounds: list[tuple[float, int]]) -> list[ir.Value]:
    """Return what to multiply by: one mask of the distance from the middle where that is exact at both bounds.

    The distance is a LeakyRelu of slope -1, fused into its convolution; it saves a product, the dearest of the passes.
    """
    if len(bounds) == 2:
        high, low = np.float32(max(b for b, _ in bounds)), np.float32(min(b for b, _ in bounds))
        middle, half = (high + low) / np.float32(2), (high - low) / np.float32(2)
        if high - middle == half == middle - low and _scalable(float(half)):
            away = op.LeakyRelu(depthwise(op, y, 1.0, _channels(y), -float(middle)), alpha=-1.0)
            return [_mask(op, _like(away, y), float(half), -1)]
    return [_mask(op, y, bound, sign) for bound, sign in bounds]


def _mask(op: Tape, y: ir.Value, bound: float, sign: int) -> ir.Value:
    """1 where sign (y - bound) > 0, else 0; powers of two and one rounding, so that the sign is exact."""
    scale = sign * (_LARGE if bound else _HUGE)
    mask = op.Clip(depthwise(op, y, scale, _channels(y), -scale * bound), 0.0, 1.0)
    node = mask.producer()
    assert node is not None
    node.metadata_props[STEP] = "1"
    return mask


def depthwise(op: Tape, x: ir.Value, scale: float, channels: int, bias: float = 0.0) -> ir.Value:
    """Return scale x + bias as a depthwise 1 x 1 convolution, which reads and writes the blocked layout."""
    weight = np.full((channels, 1, 1, 1), scale, np.float32)
    offset = np.full(channels, bias, np.float32) if bias else None
    ones = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
    return _like(op.Conv(x, weight, offset, group=channels, **ones), x)


def silu_input(node: ir.Node) -> int | None:
    """Return which input of a Mul is x where it computes x sigmoid(x), else None."""
    for i in (0, 1):
        x, other = node.inputs[i], node.inputs[1 - i]
        gate = None if other is None else other.producer()
        if gate is not None and gate.op_type == "Sigmoid" and not gate.domain and gate.inputs[0] is x:
            return i
    return None


def silu_slope(op: Tape, g: ir.Value, y: ir.Value, s: ir.Value) -> ir.Value:
    """g (s + y (1 - s)) with s = sigmoid(x) and y = x s, between convolutions without leaving their layout."""
    if g.dtype != ir.DataType.FLOAT or _channels(y) % BLOCK or not blocked(y):
        return op.Mul(g, op.Add(s, op.Mul(y, op.Sub(1.0, s))))
    rest = depthwise(op, s, -1.0, _channels(y), 1.0)
    slope = op.Add(s, _like(op.Mul(y, rest), y))
    inner = g if blocked(g) else depthwise(op, g, 1.0, _channels(y))
    return op.Mul(inner, slope)


def _like(v: ir.Value, y: ir.Value) -> ir.Value:
    if v.shape is None and y.shape is not None:
        v.shape = y.shape.copy()
    return v


def _channels(x: ir.Value) -> int:
    shape = dims(x)
    known = shape[1] if shape is not None and len(shape) == 4 else None
    return known if isinstance(known, int) else 1


def blocked(x: ir.Value) -> bool:
    """Return whether the runtime is likely to hold a value in its blocked layout: convolutions lie behind all of it."""
    pending, seen = [x], {x}
    while pending:
        value = pending.pop()
        sources = _blocked_sources(value)
        if sources is None:
            return False
        pending += [v for v in sources if v not in seen]
        seen.update(sources)
    return True


def _blocked_sources(value: ir.Value) -> list[ir.Value] | None:
    """Return the values that have to be blocked for this one to be; None where it cannot be."""
    node = value.producer()
    if node is None or node.domain or node.inputs[0] is None or _channels(value) % BLOCK:
        return None
    if node.op_type == "Conv":
        return [] if _simple(node, _channels(value)) else None
    if node.op_type == "Clip":  # fused into a convolution, or not blocked at all
        before = node.inputs[0].producer()
        return [node.inputs[0]] if before is not None and before.op_type == "Conv" else None
    if node.op_type in _THROUGH:
        return [node.inputs[0]]
    if node.op_type not in _ELEMENTWISE:
        return None
    sources = [v for v in node.inputs if v is not None]
    return sources if all(dims(v) == dims(value) for v in sources) else None


def _simple(node: ir.Node, channels: int) -> bool:
    group = node.attributes["group"].as_int() if "group" in node.attributes else 1
    return group in (1, channels) or math.gcd(channels // group, BLOCK) == BLOCK
