"""Mosaics: several pictures in one, which tell where each class is without anybody having marked it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.metrics.judgement import Doubles, Floats


def mosaic(pictures: NDArray[Any]) -> Floats:
    """Return n x n pictures as one of the same size, float32 [C, H, W], in reading order, each shrunk by area.

    Args: pictures: [n * n, C, H, W], of the model's preprocessed domain.
    Raises: UsageError: their number is no square.
    """
    if np.ndim(pictures) != 4:
        raise UsageError(f"a mosaic is made of pictures [n * n, C, H, W], got {list(np.shape(pictures))}")
    count, channels, height, width = pictures.shape
    side = _side(count)
    found = np.empty((channels, height, width), np.float32)
    down, across = edges(height, side), edges(width, side)
    for i, picture in enumerate(pictures):
        rows, columns = _span(down, i // side), _span(across, i % side)
        size = (rows.stop - rows.start, columns.stop - columns.start)
        found[:, rows, columns] = shrunk(picture, size)
    return found


def cells(count: int, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where each of the ``count`` pictures of a mosaic lies, bool [count, H, W]."""
    side = _side(count)
    found = np.zeros((count, *size), bool)
    down, across = edges(size[0], side), edges(size[1], side)
    for i in range(count):
        found[i, _span(down, i // side), _span(across, i % side)] = True
    return found


def edges(length: int, parts: int) -> NDArray[np.int64]:
    """Return where ``parts`` equal parts of ``length`` pixels begin and end, [parts + 1]."""
    return np.rint(np.linspace(0, length, parts + 1)).astype(np.int64)


def shrunk(picture: NDArray[Any], size: tuple[int, int]) -> Floats:
    """Return a picture [C, H, W] at a smaller size, float32, every new pixel the mean of the area it covers."""
    down, across = _areas(picture.shape[1], size[0]), _areas(picture.shape[2], size[1])
    return np.asarray(down @ picture @ across.T, np.float32)


def _areas(source: int, target: int) -> Doubles:
    ends = np.linspace(0, source, target + 1)
    covered = np.clip(ends[:, None] - np.arange(source), 0, 1)
    return np.asarray(np.diff(covered, axis=0) * target / source)


def _span(ends: NDArray[np.int64], index: int) -> slice:
    return slice(int(ends[index]), int(ends[index + 1]))


def _side(count: int) -> int:
    side = math.isqrt(count)
    if side < 2 or side * side != count:
        raise UsageError(f"a mosaic is made of 4, 9, 16 ... pictures, got {count}")
    return side
