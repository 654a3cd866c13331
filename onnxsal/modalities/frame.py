"""Where the model's picture lies in a photograph: what is said in pixels of the one is brought into the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """A photograph's size (width, height), and the box (left, top, width, height) in it that the model's picture is.

    Units: pixels of the photograph. Crops have a smaller box than it, letterboxes a larger one.
    """

    photo: tuple[int, int]
    box: tuple[float, float, float, float]

    @classmethod
    def whole(cls, size: tuple[int, ...]) -> Frame:
        """Return the frame of a picture (height, width) that the model takes as it is."""
        height, width = size
        return cls((width, height), (0.0, 0.0, float(width), float(height)))

    def shares(self, x: float, y: float) -> tuple[float, float]:
        """Return a place of the photograph in shares of the model's picture: from 0 to 1 is inside."""
        left, top, width, height = self.box
        return (x - left) / width, (y - top) / height

    def of_mask(self, mask: NDArray[np.bool_], grid: tuple[int, int]) -> Doubles:
        """Return how many of a mask's pixels lie on each position of a grid over the model's picture, [rows, columns].

        Pixels on an edge between positions count to each by their parts, those that the model does not see to none.
        """
        left, top, width, height = self.box
        rows = _summed(mask.astype(np.float64), _cells(top, height, grid[0]))
        return _summed(rows.T, _cells(left, width, grid[1])).T

    def of_box(self, box: tuple[float, float, float, float], grid: tuple[int, int]) -> Doubles:
        """Return how much of a box (left, top, right, bottom) lies on each position, in the photograph's pixels."""
        left, top, width, height = self.box
        down = _common(_cells(top, height, grid[0]), np.array([box[1], box[3]], np.float64))
        across = _common(_cells(left, width, grid[1]), np.array([box[0], box[2]], np.float64))
        return down @ across.T


def _cells(start: float, length: float, cells: int) -> Doubles:
    """Return the edges of equal cells, [cells + 1]."""
    return start + np.arange(cells + 1) * length / cells


def _summed(values: Doubles, cells: Doubles) -> Doubles:
    """Return the sums over cells of the first axis, [cells, ...]; parts of a row count by their length."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    edges = cells.clip(0, len(values))
    low = np.minimum(np.floor(edges).astype(np.intp), len(values) - 1)
    part = (edges - low)[:, None]
    found: Doubles = np.diff(sums[low] * (1 - part) + sums[low + 1] * part, axis=0)
    return found


def _common(cells: Doubles, pixels: Doubles) -> Doubles:
    """Return the length that each of the intervals between some edges has in common with each between others."""
    last = np.minimum(cells[1:, None], pixels[None, 1:])
    first = np.maximum(cells[:-1, None], pixels[None, :-1])
    return (last - first).clip(0, None)
