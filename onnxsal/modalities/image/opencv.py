"""OpenCV's INTER_LINEAR: each pixel lies between four of the photograph, also where it becomes smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ONE = 2048
"""What OpenCV makes of 1: shares of bytes are whole numbers of eleven bits."""


def linear(pixels: NDArray[Any], size: tuple[int, int], seen: tuple[int, int, int, int]) -> NDArray[Any]:
    """Return a part of the picture resized to a size, without making the rest.

    Bytes are those of OpenCV 4.12 and 5.0, which rounds shares and sums; floats are not rounded.

    Shape: ``pixels`` [H, W] or [H, W, C], uint8 or float; the result has the same type.
    Args:
        size: width and height of the whole resized picture.
        seen: left, top, right and bottom of the part.
    """
    (height, width), (left, top, right, bottom) = pixels.shape[:2], seen
    across, down = slice(left, right), slice(top, bottom)
    if pixels.dtype == np.uint8 and (width, height) == (2 * size[0], 2 * size[1]):
        return _halved(pixels[2 * top : 2 * bottom, 2 * left : 2 * right])
    columns, rows = _places(width, size[0])[across], _places(height, size[1])[down]
    # OpenCV has no share of what lies before the first column, or behind the last; rows it takes twice.
    share = np.where((columns < 0) | (columns >= width - 1), np.float32(0), columns - np.floor(columns))
    beside, below = np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64)
    shares = share, rows - np.floor(rows)
    is_bytes = pixels.dtype == np.uint8
    (west, east), (north, south) = (_weights(each, as_bytes=is_bytes) for each in shares)
    more = [1] * (pixels.ndim - 2)
    upper, lower = (
        _at(pixels, row, beside) * west.reshape(-1, *more) + _at(pixels, row, beside + 1) * east.reshape(-1, *more)
        for row in (below, below + 1)
    )
    north, south = (each.reshape(-1, 1, *more) for each in (north, south))
    if not is_bytes:
        return np.asarray(upper * north + lower * south, pixels.dtype)
    summed = (((upper >> 4) * north) >> 16) + (((lower >> 4) * south) >> 16)
    return np.asarray((summed + 2) >> 2, np.uint8)


def _halved(pixels: NDArray[Any]) -> NDArray[Any]:
    """Half of both sides is the mean of four, rounded up at half."""
    summed = pixels.astype(np.int32)
    summed = summed[::2] + summed[1::2]
    return np.asarray((summed[:, ::2] + summed[:, 1::2] + 2) >> 2, np.uint8)


def _places(source: int, target: int) -> NDArray[np.float32]:
    """Where the middles of the target's pixels lie between those of the source; both quotients as OpenCV takes them."""
    return ((np.arange(target) + 0.5) * (1 / (target / source)) - 0.5).astype(np.float32)


def _weights(share: NDArray[np.float32], *, as_bytes: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """What of the first and what of the second of two neighbours."""
    both = (np.float32(1) - share, share)
    if not as_bytes:
        return both
    first, second = (np.rint(each * np.float32(_ONE)).astype(np.int32) for each in both)
    return first, second


def _at(pixels: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
    """The pixels of these rows and columns, the outermost beyond the edge; bytes as numbers to reckon with."""
    height, width = pixels.shape[:2]
    taken = pixels[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None]]
    return taken.astype(np.int32) if pixels.dtype == np.uint8 else taken
