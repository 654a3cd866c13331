"""Bilinear resizing with half-pixel centres, in numpy: the exact twin of the fused upsampling."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.kernels.formulas import lerp
from onnxsal.kernels.placement import WHOLE, WHOLE_IMAGE, Placement, Side, Stretch, slices_apart

HALF = Fraction(1, 2)


class Taps(NamedTuple):
    """For each output position the two source positions it lies between and its share of the second."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: NDArray[np.float32]


@lru_cache(maxsize=64)  # a batch of masks asks for the same two again
def taps(source: int, target: int, side: Side = WHOLE) -> Taps:
    """Return the taps that stretch ``source`` samples to ``target``: half-pixel centres, clamped at the edges.

    They are shared: do not write into them.

    Args: side: where the samples lie in the target; positions that they do not cover get the nearest.
    """
    if source < 1 or target < 1:
        raise UsageError(f"cannot resize {source} samples to {target}: both must be at least 1")
    if _are_slices(side):
        return _by_slices(taps(source // len(side), target // len(side)), source // len(side), len(side))
    if side == WHOLE:
        centre = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    else:
        centre = np.array([_centre(source, (i + 0.5) / target, side) for i in range(target)])
    low = np.floor(centre).astype(np.int64)
    return Taps(low, np.minimum(low + 1, source - 1), (centre - low).astype(np.float32))


def _are_slices(side: Side) -> bool:
    return len(side) > 1 and side == slices_apart(len(side))


def _by_slices(each: Taps, step: int, count: int) -> Taps:
    """Return the taps of slices one behind the other, of which each has the same."""
    first = step * np.arange(count)[:, None]
    low, high = ((first + of).reshape(-1) for of in (each.low, each.high))
    return Taps(low, high, np.tile(each.share, count))


def _centre(source: int, place: float, side: Side) -> float:
    """Return the sample, and the share of the way to the next, that lies at a place of the picture."""
    stretch = min(side, key=lambda s: _away(place, s))
    inside = min(max(place, float(min(stretch.span))), float(max(stretch.span)))
    at = float(stretch.low) + (inside - float(stretch.start)) / float(stretch.slope)
    first, last = _samples(source, stretch, side)
    return min(max(at * source - 0.5, first), last)


def _away(place: float, stretch: Stretch) -> float:
    low, high = map(float, stretch.span)
    return max(low - place, place - high, 0.0)


def _samples(source: int, stretch: Stretch, side: Side) -> tuple[int, int]:
    """Return the samples to be read between: not those of another stretch, which lies elsewhere."""
    first, last = 0, source - 1
    if any(other.high == stretch.low for other in side):
        first = math.ceil(stretch.low * source - HALF)
    if any(other.low == stretch.high for other in side):
        last = math.ceil(stretch.high * source - HALF) - 1
    if first > last:
        first = last = math.floor((stretch.low + stretch.high) / 2 * source)
    return min(first, source - 1), min(last, source - 1)


@lru_cache(maxsize=64)
def covered(target: int, side: Side) -> NDArray[np.bool_]:
    """Return which of ``target`` positions the samples cover, by their centres; shared, do not write into it."""
    if _are_slices(side):
        return np.ones(target, np.bool_)
    return np.array([any(_away((i + 0.5) / target, s) == 0 for s in side) for i in range(target)], np.bool_)


def inside(size: tuple[int, int], placement: Placement) -> NDArray[np.bool_]:
    """Return which pixels of a picture of ``size`` a grid that lies there covers, bool ``[H, W]``."""
    found: NDArray[np.bool_] = covered(size[0], placement.rows)[:, None] & covered(size[1], placement.columns)
    return found


def bilinear(maps: NDArray[Any], size: tuple[int, int], placement: Placement = WHOLE_IMAGE) -> NDArray[np.float32]:
    """Return ``maps`` resized to ``size``, float32 ``[..., H, W]``.

    Half-pixel centres, clamped edges, no antialiasing: PyTorch's ``align_corners=False``, ONNX Resize's default.

    Args:
        maps: ``[..., h, w]``, taken as float32.
        size: ``(H, W)``.
        placement: where the maps lie in the picture; what they do not cover gets the nearest value (see ``inside``).
    """
    maps = np.asarray(maps, np.float32)
    down, across = taps(maps.shape[-2], size[0], placement.rows), taps(maps.shape[-1], size[1], placement.columns)
    wide = lerp(maps[..., across.low], maps[..., across.high], across.share)
    stretched: NDArray[np.float32] = lerp(wide[..., down.low, :], wide[..., down.high, :], down.share[:, None])
    return stretched
