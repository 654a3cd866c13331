"""The mask of one instance: numbers over the model's picture, as pixels of the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph import Tape
from onnxsal.modalities.frame import Frame

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class InstanceMask:
    """Where an instance is: inside its box, where the numbers over the model's picture are above 0."""

    logits: Floats = field(repr=False, compare=False)
    """[h, w], evenly over the model's picture."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the photograph."""
    frame: Frame
    """Where the model's picture lies in the photograph."""

    def window(self) -> tuple[int, int, Bools]:
        """Return the first column and row of the pixels whose middles lie in the box, and which of these are of it.

        Numbers are bilinear between the middles of their positions.
        """
        x, columns = _along(self.box[::2], self.frame, 0, self.logits.shape[1])
        y, rows = _along(self.box[1::2], self.frame, 1, self.logits.shape[0])
        found: Bools = rows @ self.logits.astype(np.float64) @ columns.T > 0
        return x, y, found

    def pixels(self) -> Bools:
        """Return which pixels of the photograph are of it, bool [h, w]."""
        width, height = self.frame.photo
        left, top, window = self.window()
        found = np.zeros((height, width), bool)
        found[top : top + window.shape[0], left : left + window.shape[1]] = window
        return found

    def runs(self) -> dict[str, Any]:
        """Return it as COCO's annotations hold masks: ``size``, height and width, and ``counts``, how many pixels are
        outside, inside, outside, ... of it, column by column."""
        width, height = self.frame.photo
        left, top, window = self.window()
        edges = np.diff(np.pad(window.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
        column, row = np.nonzero(edges)
        at = (left + column) * height + top + row
        once = np.ones(len(at), bool)  # where a run goes on in the next column it neither ends nor begins
        same = np.flatnonzero(at[1:] == at[:-1])
        once[same] = once[same + 1] = False
        ends = np.concatenate([[0], at[once], [height * width]])
        return {"size": [height, width], "counts": np.diff(ends).tolist()}


def of_runs(runs: dict[str, Any]) -> Bools:
    """Return the pixels of a mask that ``InstanceMask.runs`` wrote, bool [h, w]."""
    height, width = runs["size"]
    inside = np.arange(len(runs["counts"])) % 2 == 1
    return np.repeat(inside, runs["counts"]).reshape(width, height).T


def _along(ends: Sequence[float], frame: Frame, axis: int, count: int) -> tuple[int, NDArray[np.float64]]:
    """Return the first pixel between two ends, and what each of them reads of the positions on its axis, [n, count].

    Pixels that the model does not see are none.
    """
    start, length, size = frame.box[axis], frame.box[axis + 2], frame.photo[axis]
    middles = np.arange(size) + 0.5
    shares = (middles - start) / length
    inside = np.flatnonzero((middles > ends[0]) & (middles < ends[1]) & (shares > 0) & (shares < 1))
    place = np.clip(shares[inside] * count - 0.5, 0, count - 1)
    low = np.floor(place).astype(np.intp)
    found, rows = np.zeros((len(inside), count)), np.arange(len(inside))
    found[rows, low] = 1 - (place - low)
    found[rows, np.minimum(low + 1, count - 1)] += place - low
    return (int(inside[0]) if len(inside) else 0), found


def inside_box(box: NDArray[np.floating], grid: tuple[int, int], size: tuple[int, int]) -> Bools:
    """Return which positions over a picture (height, width) have their middles in a box, [..., h, w] of [..., 4]."""
    x, y = middles(grid, size)
    left, top, right, bottom = np.moveaxis(box[..., None, None, :], -1, 0)
    found: Bools = (x > left) & (x < right) & (y > top) & (y < bottom)
    return found


def middles(grid: tuple[int, int], size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return where positions over a picture (height, width) have their middles: x [1, w], y [h, 1], in its pixels."""
    x, y = ((np.arange(n) + 0.5) * (side / n) for n, side in zip(grid[::-1], size[::-1], strict=True))
    return x[None].astype(np.float32), y[:, None].astype(np.float32)


def write_inside(op: Tape, box: ir.Value, grid: tuple[int, int], size: tuple[int, int]) -> ir.Value:
    """Return ``inside_box`` as a graph has it: bool [B, h, w] of float32 [B, 4]."""
    x, y = (op.const(each[None]) for each in middles(grid, size))
    left, top, right, bottom = (op.Unsqueeze(op.Slice(box, [i], [i + 1], [1]), [2]) for i in range(4))
    across = op.And(op.Greater(x, left), op.Less(x, right))
    return op.And(across, op.And(op.Greater(y, top), op.Less(y, bottom)))
