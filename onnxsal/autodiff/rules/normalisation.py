"""Rules of normalisations: y = scale (x - mean) / deviation + bias over one choice of axes or another."""

from __future__ import annotations

import math
from typing import NamedTuple

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, defvjp, vjp
from onnxsal.autodiff.rules.common import pad, rank_of
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape


def per_channel(op: Tape, v: ir.Value, x: ir.Value) -> ir.Value:
    """Return [C] as [C, 1, 1 ...], to be broadcast over ``x``."""
    return v if rank_of(x) == 2 else op.Reshape(v, [-1] + [1] * (rank_of(x) - 2))


class Standard(NamedTuple):
    """x in its standardised form, (x - mean) / deviation, and 1 / deviation."""

    normal: ir.Value
    inverse: ir.Value


def standardised(op: Tape, x: ir.Value, axes: list[int], epsilon: float) -> Standard:
    """Return x less its mean over ``axes``, in units of its deviation there."""
    n = rank_of(x)
    width = _width(x, axes)
    if x.dtype == ir.DataType.FLOAT and axes == list(range(axes[0], n)) and width is not None:
        ones = op.full_like(op.const([1.0] * width, x.dtype), 1.0) if width > 4096 else op.const([1.0] * width, x.dtype)
        out, _, inverse = op.emit("LayerNormalization", x, ones, axis=axes[0] - n, epsilon=epsilon, outputs=3)
        return Standard(out, inverse)
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    variance = op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1)
    inverse = op.Reciprocal(op.Sqrt(op.Add(variance, epsilon)))
    return Standard(op.Mul(centred, inverse), inverse)


def _width(x: ir.Value, axes: list[int]) -> int | None:
    """Return the size of the one axis that is normalised, where it is one and known."""
    shape = dims(x)
    size = shape[axes[0]] if shape is not None and len(axes) == 1 else None
    return size if isinstance(size, int) else None


def centred_gradient(op: Tape, g: ir.Value, normal: ir.Value, inverse: ir.Value, axes: list[int]) -> ir.Value:
    """Return the gradient of x from that of its standardised form: g less its mean and its share of ``normal``."""
    along = op.Mul(normal, op.ReduceMean(op.Mul(g, normal), axes, keepdims=1))
    return op.Mul(op.Sub(op.Sub(g, op.ReduceMean(g, axes, keepdims=1)), along), inverse)


@vjp("LayerNormalization", slots=(True, True, True))
def _layer_normalization(call: Call) -> list[Gradient]:
    op, (x, scale, bias) = call.op, [*call.node.inputs, None][:3]
    assert x is not None and scale is not None
    n = rank_of(x)
    axes = list(range(call.attributes["axis"] % n, n))
    standard = standardised(op, x, axes, call.attributes["epsilon"])
    normal, inverse = standard
    g, g_mean, g_inverse = [*call.grads, None, None][:3]
    dx: list[ir.Value] = []
    if g is not None and call.needed[0]:
        dx.append(centred_gradient(op, op.Mul(g, scale), normal, inverse, axes))
    dx += _from_statistics(op, standard, g_mean, g_inverse) if call.needed[0] else []
    want_scale, want_bias = ([*call.needed, False][i] and g is not None for i in (1, 2))
    return [
        op.total(dx) if dx else None,
        op.sum_to(op.Mul(g, normal), scale, x) if want_scale else None,
        op.sum_to(g, bias, x) if want_bias and bias is not None and g is not None else None,
    ]


def _from_statistics(op: Tape, standard: Standard, g_mean: Gradient, g_inverse: Gradient) -> list[ir.Value]:
    """The optional outputs: mean, and r = 1 / deviation with dr/dx = -r^2 normal / n."""
    normal, inverse = standard
    n = op.Div(op.cast(op.Size(normal), normal.dtype), op.cast(op.Size(inverse), normal.dtype))
    parts = []
    if g_mean is not None:
        parts.append(op.Div(op.Add(op.Mul(normal, 0.0), op.cast(g_mean, normal.dtype)), n))
    if g_inverse is not None:
        share = op.Mul(op.cast(g_inverse, normal.dtype), op.Mul(inverse, inverse))
        parts.append(op.Neg(op.Div(op.Mul(normal, share), n)))
    return parts


@vjp("RMSNormalization", slots=(True, True))
def _rms_normalization(call: Call) -> list[Gradient]:
    """y = scale x r with r = 1 / sqrt(mean(x^2) + epsilon)."""
    op, g, (x, scale) = call.op, call.g, call.node.inputs
    assert x is not None and scale is not None
    n = rank_of(x)
    axes = list(range(call.attributes["axis"] % n, n))
    mean_square = op.ReduceMean(op.Mul(x, x), axes, keepdims=1)
    inverse = op.Reciprocal(op.Sqrt(op.Add(mean_square, call.attributes["epsilon"])))
    normal = op.Mul(x, inverse)
    scaled = op.Mul(g, scale)
    along = op.Mul(normal, op.ReduceMean(op.Mul(scaled, normal), axes, keepdims=1))
    return [
        op.Mul(op.Sub(scaled, along), inverse) if call.needed[0] else None,
        op.sum_to(op.Mul(g, normal), scale, x) if call.needed[1] else None,
    ]


@vjp("BatchNormalization", slots=(True, True, True, True, True))
def _batch_normalization(call: Call) -> list[Gradient]:
    op, (x, scale, _, mean, var) = call.op, call.node.inputs
    assert x is not None and scale is not None and mean is not None and var is not None
    axes = [a for a in range(rank_of(x)) if a != 1]
    epsilon = call.attributes["epsilon"]
    if call.attributes["training_mode"]:
        return _training(call, standardised(op, x, axes, epsilon), axes)
    g = call.grads[0]
    assert g is not None
    inverse = op.Reciprocal(op.Sqrt(op.Add(var, epsilon)))
    factor = op.cast(op.Mul(op.cast(scale, inverse.dtype), inverse), x.dtype)
    dx = op.Mul(g, per_channel(op, factor, x)) if call.needed[0] else None
    if not any(call.needed[1:]):
        return [dx, None, None, None, None]
    db = op.ReduceSum(g, axes, keepdims=0)
    normal = op.Mul(op.Sub(x, per_channel(op, mean, x)), per_channel(op, inverse, x))
    ds = op.ReduceSum(op.Mul(g, normal), axes, keepdims=0)
    dvar = op.Mul(op.Mul(op.Mul(ds, factor), inverse), -0.5)
    return [dx, ds, db, op.Neg(op.Mul(db, factor)), dvar]


def _training(call: Call, standard: Standard, axes: list[int]) -> list[Gradient]:
    """The batch's own statistics; running = input * momentum + batch * (1 - momentum)."""
    op, (x, scale), m = call.op, call.node.inputs[:2], call.attributes["momentum"]
    assert x is not None
    assert scale is not None
    g_mean, g_var = [*call.grads, None, None][1:3]
    normal, inverse = standard
    n = op.Div(op.cast(op.Size(x), x.dtype), op.cast(op.Size(inverse), x.dtype))
    parts: list[Gradient] = [None, None, None]
    if call.grads[0] is not None:
        parts = _channel_gradients(call, standard, scale, axes)
    dx = [] if parts[0] is None else [parts[0]]
    if g_mean is not None:
        dx.append(op.Add(op.Mul(normal, 0.0), per_channel(op, op.Div(op.Mul(g_mean, 1 - m), n), x)))
    if g_var is not None:
        dx.append(op.Mul(op.Div(normal, inverse), per_channel(op, op.Div(op.Mul(g_var, 2 * (1 - m)), n), x)))
    past = [None if g is None else op.Mul(g, m) for g in (g_mean, g_var)]
    return [op.total(dx) if dx else None, *parts[1:], *past]


def _channel_gradients(call: Call, standard: Standard, scale: ir.Value, axes: list[int]) -> list[Gradient]:
    """Gradients of x, scale and bias where the statistics are the batch's own."""
    op, x = call.op, call.node.inputs[0]
    assert x is not None and call.grads[0] is not None
    g, (normal, inverse) = call.grads[0], standard
    shared = [a for a in range(rank_of(x)) if a != 1]
    scaled = op.Mul(g, per_channel(op, scale, x))
    return [
        centred_gradient(op, scaled, normal, inverse, axes) if call.needed[0] else None,
        op.ReduceSum(op.Mul(g, normal), shared, keepdims=0) if call.needed[1] else None,
        op.ReduceSum(g, shared, keepdims=0) if call.needed[2] else None,
    ]


@vjp("InstanceNormalization", slots=(True, True, True))
def _instance_normalization(call: Call) -> list[Gradient]:
    x, scale = call.node.inputs[:2]
    assert x is not None and scale is not None
    axes = list(range(2, rank_of(x)))
    return _channel_gradients(call, standardised(call.op, x, axes, call.attributes["epsilon"]), scale, axes)


@vjp("GroupNormalization", slots=(True, True, True))
def _group_normalization(call: Call) -> list[Gradient]:
    """Standardised in groups as [B, G, -1], scaled per channel."""
    op, (x, scale, _) = call.op, call.node.inputs
    assert x is not None and scale is not None and call.grads[0] is not None
    g, shared = call.grads[0], [a for a in range(rank_of(x)) if a != 1]
    groups = [0, call.attributes["num_groups"], -1]
    grouped = op.Reshape(x, groups)
    grouped.shape = ir.Shape([None, call.attributes["num_groups"], None])
    normal, inverse = standardised(op, grouped, [2], call.attributes["epsilon"])
    dx = None
    if call.needed[0]:
        scaled = op.Reshape(op.Mul(g, per_channel(op, scale, x)), groups)
        dx = op.reshape_like(centred_gradient(op, scaled, normal, inverse, [2]), x)
    ds = op.ReduceSum(op.Mul(g, op.reshape_like(normal, x)), shared, keepdims=0) if call.needed[1] else None
    return [dx, ds, op.ReduceSum(g, shared, keepdims=0) if call.needed[2] else None]


def _lrn(
    op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, alpha: float, beta: float, bias: float, size: int
) -> ir.Value:
    """y = x s^-beta, s = bias + alpha / size * (sum of x^2 over a window of channels); the window turns round."""
    ahead, behind = (size - 1) // 2, math.ceil((size - 1) / 2)
    n = rank_of(x)
    squares = _window_sum(op, op.Mul(x, x), n, (ahead, behind))
    s = op.Add(op.Mul(squares, alpha / size), bias)
    power = op.Pow(s, -beta)
    window = _window_sum(op, op.Div(op.Mul(g, op.Mul(x, power)), s), n, (behind, ahead))
    return op.Sub(op.Mul(g, power), op.Mul(op.Mul(x, window), 2 * alpha * beta / size))


def _window_sum(op: Tape, x: ir.Value, n: int, reach: tuple[int, int]) -> ir.Value:
    """Return the sum over a window of channels, as slices of a padded tensor: standard, exact, of any rank."""
    padded = pad(op, x, [*reach], [1], n)
    size = sum(reach) + 1
    parts = [op.Slice(padded, [i], [i - size + 1 or 2**31], [1]) for i in range(size)]
    return op.total(parts)


defvjp("LRN", _lrn)


def _lp_normalization(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, axis: int, p: int) -> ir.Value:
    """y = x / |x|_p; where the norm is 0 the output is 0 and so is the gradient."""
    norm = op.ReduceL2(x, [axis], keepdims=1) if p == 2 else op.ReduceL1(x, [axis], keepdims=1)
    zero = op.Equal(norm, 0.0)
    share = op.ReduceSum(op.Mul(g, y), [axis], keepdims=1)
    direction = y if p == 2 else op.Sign(x)
    slope = op.Div(op.Sub(g, op.Mul(share, direction)), op.Where(zero, 1.0, norm))
    return op.Where(zero, 0.0, slope)


def _mean_variance(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, axes: list[int]) -> ir.Value:
    """(x - mean) / (deviation + 1e-9), as the function that defines the operator has it."""
    along = [a % rank_of(x) for a in axes]
    centred = op.Sub(x, op.ReduceMean(x, along, keepdims=1))
    deviation = op.Sqrt(op.ReduceMean(op.Mul(centred, centred), along, keepdims=1))
    inverse = op.Reciprocal(op.Add(deviation, 1e-9))
    flat = op.Equal(deviation, 0.0)  # the slope of a root is 0 at 0
    share = op.Div(op.ReduceMean(op.Mul(g, centred), along, keepdims=1), op.Where(flat, 1.0, deviation))
    share = op.Where(flat, 0.0, op.Mul(y, share))
    return op.Mul(op.Sub(op.Sub(g, op.ReduceMean(g, along, keepdims=1)), share), inverse)


defvjp("LpNormalization", _lp_normalization)
defvjp("MeanVarianceNormalization", _mean_variance)
