"""Rules of pooling: a maximum sends its gradient where it was found first, a mean spreads it over its window."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, defvjp, vjp
from onnxsal.autodiff.rules.common import merged, put_back, rank_of
from onnxsal.autodiff.rules.first_maxima import Back, axes_of, first_maxima
from onnxsal.autodiff.rules.gates import POOLED, Pooled
from onnxsal.autodiff.rules.windows import (
    Window,
    all_known,
    crop_to,
    operand,
    same_pads,
    spatial,
    spatial_of,
    window_of,
)
from onnxsal.graph.tape import Tape


@vjp("MaxPool", slots=(True,))
def _max_pool(call: Call) -> list[Gradient]:
    x = operand(call, 0)
    g = call.grads[0]
    if g is None:
        return [None]
    back = _back(call, x)
    dx = back(g)
    if x not in call.wrt:
        dx.meta[POOLED] = Pooled(x, call.node.outputs[0], g, back)
    return [dx]


def _back(call: Call, x: ir.Value) -> Back:
    """Return what puts the gradient of maxima back to where they were found first."""
    op, y, window = call.op, call.node.outputs[0], window_of(call.attributes, call.node)
    tiles = x.dtype == ir.DataType.FLOAT and _tiles(window, x, y)
    if not tiles and (axes := axes_of(window, x, y)) is not None:
        return first_maxima(op, x, axes)
    places = _places(call, x)
    if tiles:
        places.shape = places.shape or y.shape  # without one, where the graph is split, older runtimes end the process
        return lambda g: op.MaxUnpool(g, places, kernel_shape=list(window.kernel), strides=list(window.strides))
    return lambda g: put_back(op, g, places, x)


def _tiles(window: Window, x: ir.Value, y: ir.Value) -> bool:
    """Whether windows lie side by side and cover x exactly: then every element receives one gradient at most."""
    sizes, outs = spatial(x), spatial(y)
    if window.same or window.kernel != window.strides or set(window.dilations) != {1} or any(window.pads):
        return False
    rows = zip(sizes, outs, window.kernel, strict=True)
    return all(isinstance(s, int) and isinstance(o, int) and s == o * k for s, o, k in rows)


@vjp("MaxUnpool", slots=(True, False, False))
def _max_unpool(call: Call) -> list[Gradient]:
    """Every element went to the place that its index names; of two at one place the later one stayed, as a rule."""
    op, x, places = call.op, operand(call, 0), operand(call, 1)
    picked = op.GatherElements(op.Reshape(call.g, [-1]), op.Reshape(places, [-1]), axis=0)
    return [op.reshape_like(picked, x)]


def _places(call: Call, x: ir.Value) -> ir.Value:
    """Return for every window the element number of its first maximum; the node's own Indices where it has them.

    Not those of unsigned bytes: for a window of zeros alone ONNX Runtime has a number below 0 there, up to 1.28.
    """
    outputs, unsigned = call.node.outputs, x.dtype == ir.DataType.UINT8
    if len(outputs) > 1 and outputs[1].name and not call.attributes["storage_order"] and not unsigned:
        return outputs[1]
    names = ("kernel_shape", "strides", "dilations", "pads", "ceil_mode", "auto_pad")
    given = {name: call.attributes[name] for name in names if name in call.attributes}
    if str(given.get("auto_pad", "NOTSET")) != "NOTSET":
        del given["pads"]
    seen = call.op.cast(x, ir.DataType.FLOAT) if unsigned else x
    return call.op.emit("MaxPool", seen, outputs=2, **given)[1]


@vjp("AveragePool")
def _average_pool(call: Call) -> list[Gradient]:
    op, x = call.op, operand(call, 0)
    window = window_of(call.attributes, call.node)
    counts = _counts(op, x, call.y, window, include=bool(call.attributes["count_include_pad"]))
    return [spread(op, _shared(op, call.g, counts), x, call.y, window)]


def _shared(op: Tape, g: ir.Value, counts: ir.Value | float) -> ir.Value:
    if isinstance(counts, ir.Value):
        return op.Div(g, op.cast(counts, g.dtype))
    return op.Mul(g, 1 / counts)


def _counts(op: Tape, x: ir.Value, y: ir.Value, window: Window, *, include: bool) -> ir.Value | float:
    """Return by how many elements each window divides: a number where it is the same everywhere."""
    whole = float(math.prod(window.kernel))
    sizes, outs = spatial(x), spatial(y)
    if not window.same and all_known(sizes) and all_known(outs):
        table = _static_counts([int(s or 0) for s in sizes], [int(o or 0) for o in outs], window, include=include)
        return float(table.flat[0]) if (table == table.flat[0]).all() else op.const(table.astype(np.float32))
    if include and window.same:
        return whole
    return _measured_counts(op, x, y, window, include=include)


def _static_counts(sizes: list[int], outs: list[int], window: Window, *, include: bool) -> np.ndarray:
    table = np.ones((1, 1))
    for axis, (size, out) in enumerate(zip(sizes, outs, strict=True)):
        taps = np.arange(window.kernel[axis]) * window.dilations[axis]
        where = np.arange(out)[:, None] * window.strides[axis] + taps
        begin, end = window.begin[axis], window.end[axis]
        low, high = (0, size + begin + end) if include else (begin, size + begin)
        row = ((where >= low) & (where < high)).sum(1)
        table = table[..., None] * row
    return table


def _measured_counts(op: Tape, x: ir.Value, y: ir.Value, window: Window, *, include: bool) -> ir.Value:
    """A mean of ones over exactly what is there, seen from a window that always divides by its size."""
    sizes = spatial_of(op, x)
    ones = op.ConstantOfShape(op.Concat([1, 1], sizes, axis=0), value=ir.tensor(np.ones(1, np.float32)))
    begin, end = (op.const(list(p), ir.DataType.INT64) for p in (window.begin, window.end))
    if window.same:
        begin, end = same_pads(op, x, y, window)
    beyond = op.const([(k + s) * d for k, s, d in zip(window.kernel, window.strides, window.dilations, strict=True)])
    inner = op.Pad(ones, op.Concat([0, 0], begin, [0, 0], end, axis=0), 1.0 if include else 0.0)
    wide = op.Pad(inner, op.Concat([0] * (2 + window.n + 2), beyond, axis=0), 0.0)
    kernel = np.ones((1, 1, *window.kernel), np.float32)
    counts = op.Conv(wide, kernel, strides=list(window.strides), dilations=list(window.dilations))
    return crop_to(op, counts, y)


def spread(op: Tape, g: ir.Value, x: ir.Value, y: ir.Value, window: Window) -> ir.Value:
    """Return the sum of ``g`` over the windows that every element of ``x`` lies in."""
    if _tiles(window, x, y):
        return _repeated(op, g, x, y, window)
    if set(window.strides) == {1} and not window.same and _poolable(window):
        mean = op.AveragePool(
            g, kernel_shape=list(window.kernel), dilations=list(window.dilations), pads=_pads_back(window),
            strides=list(window.strides), count_include_pad=1,
        )  # fmt: skip
        return op.Mul(mean, float(math.prod(window.kernel)))
    return _scattered(op, g, x, y, window)


def _poolable(window: Window) -> bool:
    """Pads of a pool must be smaller than its kernel, undilated: the runtime refuses others."""
    return all(0 <= p < k for p, k in zip(_pads_back(window), window.kernel * 2, strict=True))


def _pads_back(window: Window) -> list[int]:
    return [e - 1 - p for p, e in zip(window.pads, window.extents * 2, strict=True)]


def _repeated(op: Tape, g: ir.Value, x: ir.Value, y: ir.Value, window: Window) -> ir.Value:
    if set(spatial(y)) == {1}:
        return op.Mul(g, op.cast(op.const(np.ones((1, 1, *window.kernel), np.float32)), g.dtype))
    scales = op.const(np.array([1, 1, *window.kernel], np.float32))
    modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return op.Resize(g, None, scales, **modes)


def _scattered(op: Tape, g: ir.Value, x: ir.Value, y: ir.Value, window: Window) -> ir.Value:
    n = window.n
    ones = op.cast(op.const(np.ones((1, 1, *window.kernel), np.float32)), g.dtype)
    planes = op.Reshape(g, op.Concat([-1, 1], spatial_of(op, y), axis=0))
    room = [max(s - 1, e) for s, e in zip(window.strides, window.extents, strict=True)]
    sums = op.ConvTranspose(planes, ones, strides=list(window.strides), dilations=list(window.dilations))
    # a window may end before the input does (a stride's remainder) or behind it (ceil mode): room, then a cut
    roomy = op.Pad(sums, [0] * (2 + n + 2) + room)
    begin = same_pads(op, x, y, window)[0] if window.same else op.const(list(window.begin), ir.DataType.INT64)
    return op.reshape_like(crop_to(op, roomy, x, begin), x)


@vjp("LpPool")
def _lp_pool(call: Call) -> list[Gradient]:
    op, x, y, p = call.op, operand(call, 0), call.y, float(call.attributes["p"])
    window = window_of(call.attributes, call.node)
    return [op.Mul(spread(op, _lp_outer(op, call.g, y, p), x, y, window), _lp_inner(op, x, p))]


def _lp_outer(op: Tape, g: ir.Value, y: ir.Value, p: float) -> ir.Value:
    """g y^(1 - p), 0 where the norm is 0."""
    if p == 1:
        return g
    zero = op.Equal(y, 0.0)
    return op.Where(zero, 0.0, op.Div(g, op.Pow(op.Where(zero, 1.0, y), p - 1)))


def _lp_inner(op: Tape, x: ir.Value, p: float) -> ir.Value:
    """sign(x) |x|^(p - 1)."""
    if p == 2:
        return x
    return op.Sign(x) if p == 1 else op.Mul(op.Sign(x), op.Pow(op.Abs(x), p - 1))


@vjp("GlobalAveragePool")
def _global_average_pool(call: Call) -> list[Gradient]:
    """One share for every element; measuring x at run time would reorder the whole of it."""
    op, g, x = call.op, call.g, operand(call, 0)
    sizes = spatial(x)
    if all_known(sizes):
        known = [s for s in sizes if isinstance(s, int)]
        shares = np.full((1, 1, *known), 1 / math.prod(known), np.float32)
        return [op.Mul(g, op.cast(op.const(shares), g.dtype))]
    count = op.cast(op.ReduceProd(op.Shape(x, start=2), keepdims=0), g.dtype)
    return [op.Expand(op.Div(g, count), op.shape_of(x))]


@vjp("GlobalMaxPool")
def _global_max_pool(call: Call) -> list[Gradient]:
    op, g, x = call.op, call.g, operand(call, 0)
    n = rank_of(x)
    flat = merged(op, x, 2)
    first = op.ArgMax(flat, axis=2, keepdims=1)
    numbers = op.Range(0, op.Squeeze(op.Shape(flat, start=2), [0]), 1)
    mask = op.Equal(numbers, first)
    return [op.reshape_like(op.gate(op.Reshape(g, [0, 0, 1]) if n != 3 else g, mask), x)]


defvjp(
    "GlobalLpPool",
    lambda op, g, y, x, *, p: op.Mul(_lp_outer(op, g, y, float(p)), _lp_inner(op, x, float(p))),
)
