"""From the raw map to the saliency that ``Explanation`` has, in standard operators; twin of ``viz.maps``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.folding.rows import stretched
from onnxsal.graph import Tape
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement
from onnxsal.kernels.resize import inside

_ROUNDING = 8 * float(np.finfo(np.float32).eps)
"""A map whose values differ by less than this share of them is constant."""


@dataclass(frozen=True)
class Finish:
    """How a raw map becomes the saliency: at which size, with which sign (None for maps of a layer), capped where."""

    size: tuple[int, int]
    sign: str | None
    percentile: float = 99.0
    placement: Placement = WHOLE_IMAGE
    """Where the map lies in the picture."""
    grid: tuple[int, ...] = (0, 0)
    """Its own height and width; needed only where it does not lie over the whole picture as it stands."""


def finish_map(op: Tape, raw: ir.Value, how: Finish) -> ir.Value:
    """Return the saliency [B, H, W] of a raw map: [B, h, w] of a layer, or [B, C, H, W] of the picture."""
    return _of_layer(op, raw, how) if how.sign is None else _of_pixels(op, raw, how)


def fuse(op: Tape, maps: Sequence[ir.Value], how: str) -> ir.Value:
    """Return the mean or the maximum of saliencies [B, H, W]."""
    combined = op.Max(*maps) if how == "max" else op.Mean(*maps)
    return combined


def normalised(op: Tape, values: ir.Value) -> ir.Value:
    """Return maps [B, h, w] stretched to [0, 1], each by its own minimum and maximum; a constant one becomes 0."""
    low, high = (reduce(values, [1, 2], keepdims=1) for reduce in (op.ReduceMin, op.ReduceMax))
    flat, span = _is_flat(op, low, high), op.Sub(high, low)
    return op.Where(flat, 0.0, op.Div(op.Sub(values, low), op.Where(flat, 1.0, span)))


def _is_flat(op: Tape, low: ir.Value, high: ir.Value) -> ir.Value:
    largest = op.Max(op.Abs(low), op.Abs(high))
    return op.LessOrEqual(op.Sub(high, low), op.Mul(largest, _ROUNDING))


def _of_layer(op: Tape, raw: ir.Value, how: Finish) -> ir.Value:
    """Stretched before the upsampling too: float32 then neither overflows nor underflows between the taps."""
    maps = op.Unsqueeze(normalised(op, raw), [1])
    if not how.placement.is_whole:
        large = op.Squeeze(stretched(op, maps, how.grid, how.size, how.placement), [1])
        return _within(op, large, inside(how.size, how.placement))
    sizes = op.Concat(op.Shape(maps, start=0, end=2), list(how.size), axis=0)
    large = op.Resize(maps, None, None, sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    return normalised(op, op.Squeeze(large, [1]))


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


def _over_channels(op: Tape, raw: ir.Value, sign: str) -> ir.Value:
    if sign == "absolute":
        return op.ReduceMax(op.Abs(raw), [1], keepdims=0)
    total: ir.Value = op.ReduceSum(raw, [1], keepdims=0)
    if sign == "signed":
        return total
    return op.Relu(total if sign == "positive" else op.Neg(total))


def _percentile(op: Tape, values: ir.Value, how: Finish) -> ir.Value:
    """The percentile of each map, [B, 1, 1], interpolated between the two neighbours as numpy does."""
    count = how.size[0] * how.size[1]
    position = (count - 1) * how.percentile / 100
    below = math.floor(position)
    share = position - below
    top, _ = op.emit("TopK", op.Reshape(values, [0, count]), [count - below], axis=1, outputs=2)
    low = op.Slice(top, [count - below - 1], [count - below], [1])
    if share:
        high = op.Slice(top, [count - below - 2], [count - below - 1], [1])
        low = op.Add(op.Mul(low, 1 - share), op.Mul(high, share))
    return op.Unsqueeze(low, [2])
