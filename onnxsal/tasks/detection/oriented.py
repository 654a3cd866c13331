"""Boxes that are turned round their middles: their corners, and how far two overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph import Tape

Doubles = NDArray[np.float64]

Corners = tuple[tuple[float, float], ...]
"""x and y of the four corners, from the upper left one of the box before it is turned, clockwise."""

_LEAST, _FAR = 1e-7, 100.0
"""Of areas and distances, so that boxes without a size divide by nothing that is 0; and the distance of no overlap."""


def corners_of(box: Sequence[float]) -> Corners:
    """Return the corners of a box: x and y of its middle, width, height, angle in radians from x to y."""
    x, y, width, height, angle = (float(n) for n in box)
    along = np.array([np.cos(angle), np.sin(angle)]) * width / 2
    down = np.array([-np.sin(angle), np.cos(angle)]) * height / 2
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return tuple((float(x + p[0]), float(y + p[1])) for p in (a * along + b * down for a, b in signs))


def lying(box: Sequence[float]) -> tuple[float, float, float, float, float]:
    """Return an upright box, left, top, right, bottom, as one that is turned by nothing."""
    left, top, right, bottom = box
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top, 0.0


def overlap(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> Doubles:
    """Return how far turned boxes overlap, [..., N] of [..., N, 5] and [..., 1, 5].

    The ProbIoU: 1 less the Hellinger distance of the normal distributions that have the boxes' means and covariances
    (Llerena et al. 2021, arXiv:2106.06072, section 3), by which Ultralytics leaves out and judges turned boxes too.
    """
    one, two = _normal(boxes), _normal(others)
    turn = boxes[..., 4].astype(np.float64) - others[..., 4].astype(np.float64)
    crossed, along = one.wide * two.wide + one.high * two.high, one.wide * two.high + one.high * two.wide
    shares = one.wide * one.high, two.wide * two.high
    spread = np.maximum(sum(shares) + along * np.cos(turn) ** 2 + crossed * np.sin(turn) ** 2, _LEAST)
    moved = (one.far(two) + two.far(one)) / spread / 4
    shaped = np.log(np.maximum(spread / np.maximum(4 * np.sqrt(shares[0] * shares[1]), _LEAST), 1)) / 2
    found: Doubles = 1 - np.sqrt(-np.expm1(-np.minimum(moved + shaped, _FAR)))
    return found


@dataclass(frozen=True)
class _Normal:
    """The mean of an even density over a turned box, its variance along both sides, and which way these go.

    Sums of products of these have no differences in them, so that thin boxes lose no digits.
    """

    x: Any
    y: Any
    wide: Any
    high: Any
    cos: Any
    sin: Any

    def far(self, other: _Normal) -> Doubles:
        """Return the square of the distance to another mean across each side, times the variance of the other side."""
        dx, dy = self.x - other.x, self.y - other.y
        return np.asarray(
            self.wide * (dy * self.cos - dx * self.sin) ** 2 + self.high * (dx * self.cos + dy * self.sin) ** 2
        )

    def written_far(self, op: Tape, other: _Normal) -> ir.Value:
        """Return the same as a graph has it."""
        dx, dy = op.Sub(self.x, other.x), op.Sub(self.y, other.y)
        across = op.Sub(op.Mul(dy, self.cos), op.Mul(dx, self.sin))
        along = op.Add(op.Mul(dx, self.cos), op.Mul(dy, self.sin))
        return op.Add(op.Mul(self.wide, op.Mul(across, across)), op.Mul(self.high, op.Mul(along, along)))


def _normal(boxes: NDArray[np.floating]) -> _Normal:
    x, y, width, height, angle = np.moveaxis(boxes.astype(np.float64), -1, 0)
    return _Normal(x, y, width**2 / 12, height**2 / 12, np.cos(angle), np.sin(angle))


def write_overlap(op: Tape, boxes: ir.Value, others: ir.Value) -> ir.Value:
    """Return ``overlap`` as a graph has it: [B, N] of float32 [B, N, 5] and [B, 1, 5]."""
    one, two = _written(op, boxes), _written(op, others)
    turn = op.Sub(*(op.Slice(v, [4], [5], [2]) for v in (boxes, others)))
    cos, sin = op.Cos(turn), op.Sin(turn)
    crossed = op.Add(op.Mul(one.wide, two.wide), op.Mul(one.high, two.high))
    along = op.Add(op.Mul(one.wide, two.high), op.Mul(one.high, two.wide))
    shares = op.Mul(one.wide, one.high), op.Mul(two.wide, two.high)
    turned = op.Add(op.Mul(along, op.Mul(cos, cos)), op.Mul(crossed, op.Mul(sin, sin)))
    spread = op.Max(op.Add(op.Add(*shares), turned), _LEAST)
    moved = op.Mul(op.Div(op.Add(one.written_far(op, two), two.written_far(op, one)), spread), 0.25)
    together = op.Max(op.Mul(op.Sqrt(op.Mul(*shares)), 4.0), _LEAST)
    shaped = op.Mul(op.Log(op.Max(op.Div(spread, together), 1.0)), 0.5)
    near = op.Exp(op.Neg(op.Min(op.Add(moved, shaped), _FAR)))
    return op.Squeeze(op.Sub(1.0, op.Sqrt(op.Max(op.Sub(1.0, near), 0.0))), [2])


def _written(op: Tape, boxes: ir.Value) -> _Normal:
    x, y, width, height, angle = (op.Slice(boxes, [i], [i + 1], [2]) for i in range(5))
    wide, high = (op.Mul(op.Mul(side, side), 1 / 12) for side in (width, height))
    return _Normal(x, y, wide, high, op.Cos(angle), op.Sin(angle))
