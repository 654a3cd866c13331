"""Regions: where in a picture a class is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Region:
    """A class at a place: a mask of the output's height and width, or a box (left, top, right, bottom) in shares."""

    target: int | str
    mask: Any = None
    box: tuple[float, float, float, float] | None = None

    def on(self, grid: tuple[int, int]) -> Mask:
        """Return the mask on the positions of an output. Raises: UsageError: it fits none, or holds none."""
        if (self.mask is None) == (self.box is None):
            raise UsageError("a region has a mask or a box: one of them, and not both")
        found = np.asarray(self.mask, bool) if self.box is None else _boxed(self.box, grid)
        if found.shape != grid:
            raise UsageError(f"a region's mask has the output's height and width {list(grid)}; got {list(found.shape)}")
        if not found.any():
            raise UsageError("the region holds no position of the output")
        return found


def _boxed(box: tuple[float, float, float, float], grid: tuple[int, int]) -> Mask:
    """Return the positions whose middles are in a box."""
    (left, top, right, bottom), (height, width) = box, grid
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))[None]
