"""Masks of fixed places, read back as rectangles: four numbers a mask in the file instead of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError
from onnxsal.graph import Tape
from onnxsal.records import HostMasks

_AT_ONCE = 64


@dataclass(frozen=True)
class Boxes:
    """Masks [K, H, W] that have one value inside a rectangle and another outside."""

    bounds: NDArray[np.int64]
    """Top, bottom, left, right of each, [K, 4]; the ends are not part of it."""
    inside: float
    outside: float
    size: tuple[int, int]

    def masks(self, op: Tape, numbers: ir.Value) -> ir.Value:
        """Return masks number [r], float32 [r, 1, H, W]."""
        bounds = op.Unsqueeze(op.Gather(op.const(self.bounds), numbers), [2, 3])
        top, bottom, left, right = (op.Slice(bounds, [i], [i + 1], [1]) for i in range(4))
        rows = op.const(np.arange(self.size[0]).reshape(1, 1, -1, 1))
        columns = op.const(np.arange(self.size[1]).reshape(1, 1, 1, -1))
        across = op.And(op.GreaterOrEqual(columns, left), op.Less(columns, right))
        within = op.And(op.And(op.GreaterOrEqual(rows, top), op.Less(rows, bottom)), across)
        pair = [op.const(np.float32(value)) for value in (self.inside, self.outside)]
        return op.Where(within, *pair)


def boxes(masks: HostMasks, size: tuple[int, int]) -> Boxes:
    """Return masks that the host makes as rectangles.

    Raises: UnsupportedError: they are drawn at random, or no rectangles of two values.
    """
    if masks.random:
        raise UnsupportedError(
            "this method draws its masks on the host, in code that no graph can hold; use it with explain"
        )
    parts = [_read(masks, at, min(at + _AT_ONCE, masks.count), size) for at in range(0, masks.count, _AT_ONCE)]
    values = {pair for _, pair in parts}
    if len(values) != 1:
        raise _not_boxes()
    inside, outside = values.pop()
    return Boxes(np.concatenate([bounds for bounds, _ in parts]), inside, outside, size)


def _read(masks: HostMasks, start: int, stop: int, size: tuple[int, int]) -> tuple[NDArray[np.int64], Any]:
    made = masks.make(0, start, stop, size)
    for inside, outside in ((0.0, 1.0), (1.0, 0.0)):
        bounds = np.array([_bounds(mask == inside) for mask in made])
        if (_drawn(bounds, (inside, outside), size) == made).all():
            return bounds, (inside, outside)
    raise _not_boxes()


def _bounds(within: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(within.any(axis=1)), np.flatnonzero(within.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _drawn(bounds: NDArray[np.int64], values: tuple[float, float], size: tuple[int, int]) -> NDArray[np.float32]:
    top, bottom, left, right = (column[:, None, None] for column in bounds.T)
    rows, columns = np.arange(size[0])[None, :, None], np.arange(size[1])[None, None, :]
    within = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return np.where(within, *map(np.float32, values))


def _not_boxes() -> UnsupportedError:
    return UnsupportedError("this method makes its masks on the host, which cannot be folded into a file: "
                            "they are no rectangles")  # fmt: skip
