"""Sampling at fractional places: GridSample, DeformConv, by the taps that they are made of."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.decompose import made_of
from onnxsal.autodiff.registry import Call
from onnxsal.autodiff.rules.common import merged, rank_of, size_at
from onnxsal.graph.tape import Tape

Tap = tuple[ir.Value, ir.Value | None]
"""The index of a tap along one axis (a whole number, as a float), and its weight (None for 1)."""


def _grid_sample(op: Tape, call: Call, x: ir.Value, grid: ir.Value) -> ir.Value:
    n = rank_of(x) - 2
    mode, padding = call.attributes["mode"], call.attributes["padding_mode"]
    align = bool(call.attributes["align_corners"])
    sizes = [op.cast(op.Squeeze(size_at(op, x, d + 2)), grid.dtype) for d in range(n)]
    flat = merged(op, grid, 1, n + 1)  # [B, P, n], the last axis of x first
    places = [op.Gather(flat, op.const(n - 1 - d), axis=2) for d in range(n)]
    places = [_place(op, p, s, align) for p, s in zip(places, sizes, strict=True)]
    if mode not in ("cubic", "bicubic"):
        places = [_kept(op, p, s, padding, align) for p, s in zip(places, sizes, strict=True)]
    taps = [_taps(op, p, mode) for p in places]
    if mode in ("cubic", "bicubic"):
        taps = [[(_kept(op, i, s, padding, align), w) for i, w in t] for t, s in zip(taps, sizes, strict=True)]
    sampled = read_taps(op, x, taps, sizes)
    shape = op.Concat(op.Shape(x, start=0, end=2), op.Shape(grid, start=1, end=n + 1), axis=0)
    return op.Reshape(sampled, shape)


def _place(op: Tape, u: ir.Value, size: ir.Value, align: bool) -> ir.Value:
    """From [-1, 1] to pixels: corners at the centres of the outer pixels, or at their edges."""
    if align:
        return op.Mul(op.Add(u, 1.0), op.Mul(op.Sub(size, 1.0), 0.5))
    return op.Mul(op.Sub(op.Mul(op.Add(u, 1.0), size), 1.0), 0.5)


def _kept(op: Tape, p: ir.Value, size: ir.Value, padding: str, align: bool) -> ir.Value:
    last = op.Sub(size, 1.0)
    if padding == "reflection":
        p = _reflected(op, p, last, 0.0 if align else 0.5)
    return p if padding == "zeros" else op.Min(op.Max(p, 0.0), last)


def _reflected(op: Tape, p: ir.Value, last: ir.Value, margin: float) -> ir.Value:
    """There and back again between -margin and last + margin."""
    span = op.Max(op.Add(last, 2 * margin), 1e-12)
    far = op.Abs(op.Add(p, margin))
    turns = op.Floor(op.Div(far, span))
    rest = op.Sub(far, op.Mul(turns, span))
    even = op.Equal(op.Mul(op.Floor(op.Mul(turns, 0.5)), 2.0), turns)
    return op.Sub(op.Where(even, rest, op.Sub(span, rest)), margin)


def _taps(op: Tape, p: ir.Value, mode: str) -> list[Tap]:
    if mode == "nearest":
        return [(op.Round(p), None)]
    if mode in ("linear", "bilinear"):
        return linear_taps(op, p)
    low = op.Floor(p)
    t = op.Sub(p, low)
    s = op.Sub(1.0, t)
    weights = [_far(op, op.Add(t, 1.0)), _near(op, t), _near(op, s), _far(op, op.Add(s, 1.0))]
    return [(op.Add(low, float(k - 1)), w) for k, w in enumerate(weights)]


def linear_taps(op: Tape, p: ir.Value) -> list[Tap]:
    """Return the two neighbours of every place along one axis."""
    low = op.Floor(p)
    t = op.Sub(p, low)
    return [(low, op.Sub(1.0, t)), (op.Add(low, 1.0), t)]


def _near(op: Tape, d: ir.Value) -> ir.Value:
    """1.25 d^3 - 2.25 d^2 + 1: Keys' kernel with a = -0.75, up to a distance of 1."""
    return op.Add(op.Mul(op.Mul(d, d), op.Sub(op.Mul(d, 1.25), 2.25)), 1.0)


def _far(op: Tape, d: ir.Value) -> ir.Value:
    """-0.75 d^3 + 3.75 d^2 - 6 d + 3: the same from 1 to 2."""
    return op.Add(op.Mul(d, op.Sub(op.Mul(d, op.Sub(3.75, op.Mul(d, 0.75))), 6.0)), 3.0)


def read_taps(op: Tape, x: ir.Value, taps: Sequence[Sequence[Tap]], sizes: Sequence[ir.Value]) -> ir.Value:
    """Return the weighted sum of the taps of ``x`` [B, C, *S] at places [B, P]: [B, C, P]; outside is 0."""
    flat = merged(op, x, 2)
    parts = []
    for combination in itertools.product(*taps):
        indices = [index for index, _ in combination]
        inside = [op.And(op.GreaterOrEqual(i, 0.0), op.Less(i, s)) for i, s in zip(indices, sizes, strict=True)]
        safe = [op.Min(op.Max(i, 0.0), op.Sub(s, 1.0)) for i, s in zip(indices, sizes, strict=True)]
        number = safe[0]
        for index, size in zip(safe[1:], sizes[1:], strict=True):
            number = op.Add(op.Mul(number, size), index)
        weights = [op.cast(functools.reduce(op.And, inside), x.dtype)]
        weights += [op.cast(w, x.dtype) for _, w in combination if w is not None]
        parts.append(_tap(op, flat, op.Cast(number, to=ir.DataType.INT64), functools.reduce(op.Mul, weights)))
    return op.total(parts)


def _tap(op: Tape, flat: ir.Value, number: ir.Value, weight: ir.Value) -> ir.Value:
    shape = op.Concat(op.Shape(flat, start=0, end=2), op.Shape(number, start=1, end=2), axis=0)
    values = op.GatherElements(flat, op.Expand(op.Unsqueeze(number, [1]), shape), axis=2)
    return op.Mul(values, op.Unsqueeze(weight, [1]))


made_of("GridSample", _grid_sample)


def _deform_conv(op: Tape, call: Call, x: ir.Value, w: ir.Value, offset: ir.Value, *rest: ir.Value | None) -> ir.Value:
    """Columns of bilinear taps, times the mask, times the weights of each group."""
    bias, mask = [*rest, None, None][:2]
    n, groups = rank_of(x) - 2, call.attributes["group"]
    out = [op.Shape(offset, start=d + 2, end=d + 3) for d in range(n)]
    batch = op.Shape(x, start=0, end=1)
    parts = op.Mul(batch, call.attributes["offset_group"])
    grouped = op.Reshape(x, op.Concat(parts, [-1], op.Shape(x, start=2), axis=0))
    sizes = [op.cast(op.Squeeze(size_at(op, x, d + 2)), x.dtype) for d in range(n)]
    places = _deformed(op, call, offset, op.Concat(parts, [-1, n], *out, axis=0), n)
    columns = read_taps(op, grouped, [_taps(op, p, "linear") for p in places], sizes)  # [B G, C / G, taps P]
    if mask is not None:
        columns = op.Mul(columns, op.Reshape(mask, op.Concat(parts, [1, -1], axis=0)))
    rows = op.Concat(batch, [groups, -1], op.ReduceProd(op.Concat(*out, axis=0), keepdims=1), axis=0)
    weights = op.Reshape(w, op.Concat([groups, -1], op.ReduceProd(op.Shape(w, start=1), keepdims=1), axis=0))
    y = op.MatMul(weights, op.Reshape(columns, rows))
    y = op.Reshape(y, op.Concat(batch, op.Shape(w, start=0, end=1), *out, axis=0))
    return y if bias is None else op.Add(y, op.Reshape(bias, [-1] + [1] * n))


def _deformed(op: Tape, call: Call, offset: ir.Value, shape: ir.Value, n: int) -> list[ir.Value]:
    """Return where every tap of every output reads, along each axis: [B G, taps P]."""
    kernel, strides, dilations, pads = (call.attributes[k] for k in ("kernel_shape", "strides", "dilations", "pads"))
    moves = op.Reshape(offset, shape)  # [B G, taps, n, *out]
    places = []
    for d in range(n):
        steps = op.Mul(op.Range(0, op.Squeeze(op.Shape(offset, start=d + 2, end=d + 3)), 1), strides[d])
        start = op.Reshape(op.cast(steps, offset.dtype), [1, 1] + [-1 if e == d else 1 for e in range(n)])
        tap = np.indices(kernel)[d].reshape(1, -1, *[1] * n) * dilations[d] - pads[d]
        move = op.Squeeze(op.Gather(moves, [d], axis=2), [2])
        places.append(op.Reshape(op.Add(op.Add(move, start), op.const(tap, offset.dtype)), [0, -1]))
    return places


made_of("DeformConv", _deform_conv)
