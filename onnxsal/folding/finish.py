"""From the raw map to the saliency that ``Explanation`` has, in standard operators; twin of ``viz.maps``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.folding.planes import maps_off_plane, on_plane
from onnxsal.folding.rows import stretched
from onnxsal.graph import Tape
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement
from onnxsal.kernels.plane import plane_size
from onnxsal.kernels.resize import inside

_ROUNDING = 8 * float(np.finfo(np.float32).eps)
"""A map whose values differ by less than this share of them is constant."""


@dataclass(frozen=True)
class Finish:
    """How a raw map becomes the saliency: at which size, with which sign (None for maps of a layer), capped where."""

    size: tuple[int, ...]
    """Of the positions S."""
    sign: str | None
    percentile: float = 99.0
    placement: Placement = WHOLE_IMAGE
    """Where the map lies in the picture."""
    grid: tuple[int, ...] = (0, 0)
    """Its own positions; needed only where they do not lie over the whole picture as it stands, or have other axes than
    rows and columns."""
    any_length: bool = False
    """Whether the positions lie in a row of any length, and ``size`` is but one of them."""


def finish_map(op: Tape, raw: ir.Value, how: Finish, length: ir.Value | None = None) -> ir.Value:
    """Return the saliency [B, *S] of a raw map: [B, *s] of a layer, or [B, C, *S] of the thing itself.

    Args: length: of a row of any, [1].
    """
    if how.any_length and how.sign is None:
        assert length is not None
        maps = op.Unsqueeze(normalised(op, raw, 1), [1])
        sizes = op.Concat(op.Shape(maps, start=0, end=2), length, axis=0)
        return normalised(op, op.Squeeze(_resized(op, maps, sizes), [1]), 1)
    if how.any_length:
        return _of_row(op, _over_channels(op, raw, str(how.sign)), how)
    if how.sign is not None:
        return maps_off_plane(op, _of_pixels(op, on_plane(op, raw, how.size), how), how.size)
    if len(how.size) > len(plane_size(how.size)):
        return _of_volume(op, raw, how.size)
    rows = raw if len(how.size) > 1 else op.Unsqueeze(raw, [1])
    return maps_off_plane(op, _of_layer(op, rows, how), how.size)


def fuse(op: Tape, maps: Sequence[ir.Value], how: str) -> ir.Value:
    """Return the mean or the maximum of saliencies [B, H, W]."""
    combined = op.Max(*maps) if how == "max" else op.Mean(*maps)
    return combined


def normalised(op: Tape, values: ir.Value, rank: int = 2) -> ir.Value:
    """Return maps [B, *s] stretched to [0, 1], each by its own minimum and maximum; a constant one becomes 0.

    Args: rank: how many axes of positions they have.
    """
    axes = list(range(1, 1 + rank))
    low, high = (reduce(values, axes, keepdims=1) for reduce in (op.ReduceMin, op.ReduceMax))
    flat, span = _is_flat(op, low, high), op.Sub(high, low)
    return op.Where(flat, 0.0, op.Div(op.Sub(values, low), op.Where(flat, 1.0, span)))


def _is_flat(op: Tape, low: ir.Value, high: ir.Value) -> ir.Value:
    """In two comparisons, of which NaN is neither: onnx2torch has LessOrEqual up to opset 15."""
    span, rounding = op.Sub(high, low), op.Mul(op.Max(op.Abs(low), op.Abs(high)), _ROUNDING)
    return op.Or(op.Less(span, rounding), op.Equal(span, rounding))


def _of_layer(op: Tape, raw: ir.Value, how: Finish) -> ir.Value:
    """Stretched before the upsampling too: float32 then neither overflows nor underflows between the taps."""
    maps, size = op.Unsqueeze(normalised(op, raw), [1]), plane_size(how.size)
    if not how.placement.is_whole:
        large = op.Squeeze(stretched(op, maps, plane_size(how.grid), size, how.placement), [1])
        return _within(op, large, inside(size, how.placement))
    sizes = op.Concat(op.Shape(maps, start=0, end=2), list(size), axis=0)
    return normalised(op, op.Squeeze(_resized(op, maps, sizes), [1]))


def _resized(op: Tape, maps: ir.Value, sizes: ir.Value) -> ir.Value:
    found: ir.Value = op.Resize(maps, None, None, sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    return found


def _of_volume(op: Tape, raw: ir.Value, size: tuple[int, ...]) -> ir.Value:
    """Return a map of more than two axes at another size: linear along each in turn, half-pixel centres.

    How many positions it has along each is read where it is run: records do not say it.
    """
    rank, maps = len(size), normalised(op, raw, len(size))
    for axis, after in enumerate(size, 1):
        before = op.Cast(op.Shape(maps, start=axis, end=axis + 1), to=ir.DataType.DOUBLE)
        middles = op.const((np.arange(after) + 0.5) / after)
        place = op.Min(op.Relu(op.Sub(op.Mul(middles, before), 0.5)), op.Sub(before, 1.0))
        low = op.Floor(place)
        share = op.Cast(op.Sub(place, low), to=ir.DataType.FLOAT)
        share = op.Reshape(share, [1, *(-1 if i == axis else 1 for i in range(1, rank + 1))])
        ends = (low, op.Min(op.Add(low, 1.0), op.Sub(before, 1.0)))
        first, second = (op.Gather(maps, op.Cast(end, to=ir.DataType.INT64), axis=axis) for end in ends)
        maps = op.Add(first, op.Mul(op.Sub(second, first), share))
    return normalised(op, maps, rank)


def _within(op: Tape, maps: ir.Value, seen: NDArray[np.bool_]) -> ir.Value:
    """Return maps [B, H, W] in [0, 1] stretched by what they are inside, and 0 outside."""
    if not seen.any():
        return op.Mul(maps, 0.0)
    within = op.const(seen[None])
    low = op.ReduceMin(op.Where(within, maps, 2.0), [1, 2], keepdims=1)
    high = op.ReduceMax(op.Where(within, maps, -1.0), [1, 2], keepdims=1)
    outside_lowest = op.Where(within, maps, low)
    flat, span = _is_flat(op, low, high), op.Sub(high, low)
    return op.Where(flat, 0.0, op.Div(op.Sub(outside_lowest, low), op.Where(flat, 1.0, span)))


def _of_pixels(op: Tape, raw: ir.Value, how: Finish) -> ir.Value:
    flat = _over_channels(op, raw, str(how.sign))
    low, high = (reduce(flat, [1, 2], keepdims=1) for reduce in (op.ReduceMin, op.ReduceMax))
    constant, size = _is_flat(op, low, high), op.Abs(flat)
    largest, cap = op.ReduceMax(size, [1, 2], keepdims=1), _percentile(op, size, how)
    cap = op.Where(op.Greater(cap, op.Mul(largest, _ROUNDING)), cap, largest)
    shared = op.Div(flat, op.Where(constant, 1.0, cap))
    return op.Where(constant, 0.0, op.Clip(shared, -1.0 if how.sign == "signed" else 0.0, 1.0))


def _of_row(op: Tape, flat: ir.Value, how: Finish) -> ir.Value:
    """Return the saliency of rows [B, T] of any length, each capped at its percentile and divided by it."""
    low, high = (reduce(flat, [1], keepdims=1) for reduce in (op.ReduceMin, op.ReduceMax))
    constant, size = _is_flat(op, low, high), op.Abs(flat)
    largest, cap = op.ReduceMax(size, [1], keepdims=1), _percentile_of_row(op, size, how.percentile)
    cap = op.Where(op.Greater(cap, op.Mul(largest, _ROUNDING)), cap, largest)
    shared = op.Div(flat, op.Where(constant, 1.0, cap))
    return op.Where(constant, 0.0, op.Clip(shared, -1.0 if how.sign == "signed" else 0.0, 1.0))


def _percentile_of_row(op: Tape, values: ir.Value, percentile: float) -> ir.Value:
    """The percentile of rows [B, T], [B, 1], interpolated between the two neighbours as numpy does."""
    count = op.Shape(values, start=1, end=2)
    place = op.Mul(op.Cast(op.Sub(count, [1]), to=ir.DataType.DOUBLE), op.const(np.array([percentile / 100])))
    below = op.Floor(place)
    share = op.Cast(op.Sub(place, below), to=ir.DataType.FLOAT)
    top, _ = op.emit("TopK", values, op.Sub(count, op.Cast(below, to=ir.DataType.INT64)), axis=1, outputs=2)
    first = op.Slice(top, [0], [1], [1])  # of one value alone both neighbours are that
    both = op.Slice(op.Concat(first, top, axis=1), [-2], [_END], [1])
    high, low = op.Slice(both, [0], [1], [1]), op.Slice(both, [1], [2], [1])
    return op.Add(op.Mul(low, op.Sub(1.0, share)), op.Mul(high, share))


_END = (1 << 31) - 1


def _over_channels(op: Tape, raw: ir.Value, sign: str) -> ir.Value:
    if sign == "absolute":
        return op.ReduceMax(op.Abs(raw), [1], keepdims=0)
    if sign == "norm":
        return op.ReduceL2(raw, [1], keepdims=0)
    total: ir.Value = op.ReduceSum(raw, [1], keepdims=0)
    if sign == "signed":
        return total
    return op.Relu(total if sign == "positive" else op.Neg(total))


def _percentile(op: Tape, values: ir.Value, how: Finish) -> ir.Value:
    """The percentile of each map, [B, 1, 1], interpolated between the two neighbours as numpy does."""
    count = math.prod(how.size)
    position = (count - 1) * how.percentile / 100
    below = math.floor(position)
    share = position - below
    top, _ = op.emit("TopK", op.Reshape(values, [0, count]), [count - below], axis=1, outputs=2)
    low = op.Slice(top, [count - below - 1], [count - below], [1])
    if share:
        high = op.Slice(top, [count - below - 2], [count - below - 1], [1])
        low = op.Add(op.Mul(low, 1 - share), op.Mul(high, share))
    return op.Unsqueeze(low, [2])
