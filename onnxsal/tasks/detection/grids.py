"""Boxes that a file leaves to others to decode: told from the cells of grids over the picture, level behind level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.graph import Tape

OFFSETS, DISTANCES = "offsets", "distances"
"""Of middles from a cell, with logarithms of sizes (YOLOX); from a cell's point to the sides of a box (FCOS, SCRFD)."""

_SIDES = 4


@dataclass(frozen=True)
class Grid:
    """What the boxes of the cells of grids are told as, in the order of rows."""

    strides: tuple[int, ...]
    """Pixels a cell, level behind level."""
    form: str = OFFSETS
    offset: float = 0.0
    """Where in a cell its point is: 0 is the corner, 0.5 the middle."""
    anchors: int = 1
    """Boxes of a cell, one after the other."""
    bins: int | None = None
    """How many steps the distribution of each distance has, before its softmax; None of plain distances."""
    in_pixels: bool = False
    """Whether distances are in pixels; in strides of their level else."""

    @property
    def channels(self) -> int:
        """How many numbers a box has."""
        return _SIDES * (self.bins or 1)

    def counts(self, size: tuple[int, int]) -> list[int]:
        """Return how many boxes each level of a picture (height, width) has."""
        return [(size[0] // stride) * (size[1] // stride) * self.anchors for stride in self.strides]

    def check(self, count: int | None, size: tuple[int, int], where: str) -> None:
        """Raise UsageError where a picture (height, width) has not as many cells as there are candidates."""
        counts = self.counts(size)
        if count is not None and sum(counts) != count:
            each = " + ".join(map(str, counts))
            raise UsageError(
                f"{where}: there are {count} candidates, and strides {list(self.strides)} on {size[0]} x {size[1]} "
                f"with {self.anchors} a cell make {each} = {sum(counts)}"
            )

    def cells(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return x and y of every box's point, in cells, and the cell's stride, [N, 3]."""
        levels = []
        for stride in self.strides:
            y, x = np.indices((size[0] // stride, size[1] // stride)).reshape(2, -1) + self.offset
            levels.append(np.stack([x, y, np.full_like(x, stride)], axis=1).repeat(self.anchors, axis=0))
        return np.concatenate(levels).astype(np.float32)

    def decoded(self, op: Tape, boxes: ir.Value, size: tuple[int, int]) -> ir.Value:
        """Return boxes in pixels, [B, N, 4]: middles and sizes of offsets, corners of distances."""
        cells = self.cells(size)
        places, strides = op.const(cells[None, :, :2]), op.const(cells[None, :, 2:])
        if self.form == OFFSETS:
            return _from_offsets(op, boxes, places, strides)
        if self.bins is not None:
            boxes = _expected(op, boxes, self.bins)
        ways = boxes if self.in_pixels else op.Mul(boxes, strides)
        points = op.Mul(places, strides)
        return op.Concat(op.Sub(points, op.Slice(ways, [0], [2], [2])), op.Add(points, op.Slice(ways, [2], [4], [2])),
                         axis=2)  # fmt: skip


def _from_offsets(op: Tape, boxes: ir.Value, places: ir.Value, strides: ir.Value) -> ir.Value:
    """Source: YOLOX (Ge et al. 2021, arXiv:2107.08430), demo_utils of its code."""
    middles = op.Mul(op.Add(op.Slice(boxes, [0], [2], [2]), places), strides)
    return op.Concat(middles, op.Mul(op.Exp(op.Slice(boxes, [2], [4], [2])), strides), axis=2)


def _expected(op: Tape, boxes: ir.Value, bins: int) -> ir.Value:
    """Return the mean of each side's distribution over 0, 1, 2 ... (Li et al. 2020, arXiv:2006.04388, eq. 5)."""
    shares = op.Softmax(op.Reshape(boxes, [0, -1, _SIDES, bins]), axis=3)
    return op.Squeeze(op.MatMul(shares, op.const(np.arange(bins, dtype=np.float32)[:, None])), [3])
