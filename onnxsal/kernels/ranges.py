"""Smallest and largest values of upsampled maps and masked pictures, without ever holding one of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxsal.errors import UsageError
from onnxsal.kernels.masks import Floats, floats, widen
from onnxsal.kernels.native import kernel, lerp, level, part
from onnxsal.kernels.placement import WHOLE, WHOLE_IMAGE, Placement
from onnxsal.kernels.resize import Taps, taps


@part
def _shrink(bounds: Any, line: Any, images: Any, y: Any) -> None:
    # One bound a column: such loops become vector code, a single running minimum does not.
    low, high, first, second = bounds[0], bounds[1], images[0, y], images[1, y]
    for i in range(line.size):
        a, b = line[i] * first[i], line[i] * second[i]
        least, most = (a, b) if a < b else (b, a)
        low[i] = least if least < low[i] else low[i]
        high[i] = most if most > high[i] else high[i]


@part
def _extremes(bounds: Any) -> Any:
    low, high = bounds[0, 0], bounds[1, 0]
    for i in range(bounds.shape[1]):
        low, high = min(low, bounds[0, i]), max(high, bounds[1, i])
    return low, high


@kernel
def _ranges(grids: Any, across: Any, down: Any, images: Any, levels: Any) -> Any:
    wide = np.empty((grids.shape[1], images.shape[2]), np.float32)
    line = np.empty(images.shape[2], np.float32)
    bounds = np.empty((2, images.shape[2]), np.float32)
    found = np.empty((2, grids.shape[0]), np.float32)
    for k in range(grids.shape[0]):
        widen(grids[k], across, wide)
        for x in range(line.size):
            bounds[0, x], bounds[1, x] = np.inf, -np.inf
        for y in range(images.shape[1]):
            top, bottom, share = wide[down[0][y]], wide[down[1][y]], down[2][y]
            for x in range(line.size):
                line[x] = level(lerp(top[x], bottom[x], share), levels[0, k], levels[1, k])
            _shrink(bounds, line, images, y)
        found[0, k], found[1, k] = _extremes(bounds)
    return found


def _turning(down: Taps) -> Taps:
    # Values between two rows of the grid are monotone, rounding included: the outermost lines hold the extremes.
    starts = np.diff(down.low, prepend=-1) != 0
    ends = np.diff(down.low, append=-1) != 0
    return Taps(*(column[starts | ends] for column in down))


def _grids(grids: NDArray[Any]) -> Floats:
    found = floats(grids)
    if found.ndim != 3:
        raise UsageError(f"grids must be [K, h, w], got shape {found.shape}")
    return found


def upsampled_range(
    grids: NDArray[Any], size: tuple[int, int], placement: Placement = WHOLE_IMAGE
) -> tuple[Floats, Floats]:
    """Return the smallest and largest value of each upsampled grid, both float32 ``[K]``; equal for a flat one.

    The same bits as the minimum and maximum of ``bilinear(grids, size)``. The grids must be finite.

    Args:
        grids: ``[K, h, w]``.
        size: ``(H, W)``.
        placement: where the grids lie in the picture.
    """
    grids = _grids(grids)
    every = taps(grids.shape[1], size[0], placement.rows)
    down = _turning(every) if placement.rows == WHOLE else every
    ones = np.ones((2, down.low.size, size[1]), np.float32)
    levels = np.stack([np.ones(len(grids), np.float32), np.zeros(len(grids), np.float32)])
    low, high = _ranges(grids, taps(grids.shape[2], size[1], placement.columns), down, ones, levels)
    return low, high


def masked_range(
    x: NDArray[Any],
    grids: NDArray[Any],
    *,
    gain: ArrayLike = 1.0,
    offset: ArrayLike = 0.0,
    placement: Placement = WHOLE_IMAGE,
) -> tuple[Floats, Floats]:
    """Return the smallest and largest value of x o (gain_k U(A_k) + offset_k) for each k, both float32 ``[K]``.

    Args:
        x: the picture, ``[C, H, W]``, finite.
        grids: ``[K, h, w]``, finite.
        gain, offset: one number, or one per grid.
        placement: where the grids lie in the picture.
    """
    x, grids = floats(x), _grids(grids)
    if x.ndim != 3:
        raise UsageError(f"the picture must be [C, H, W], got shape {x.shape}")
    levels = np.stack([np.broadcast_to(np.asarray(v, np.float32), len(grids)) for v in (gain, offset)])
    images = np.stack([x.min(axis=0), x.max(axis=0)])
    across, down = taps(grids.shape[2], x.shape[2], placement.columns), taps(grids.shape[1], x.shape[1], placement.rows)
    low, high = _ranges(grids, across, down, images, levels)
    return low, high
