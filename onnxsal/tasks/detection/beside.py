"""What a candidate has beside its box and its scores, and how it is written as numbers: a turn, keypoints, a mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.select import ANGLES, BOXES, KEYPOINTS, MASKS, ORIENTED, PROTOTYPES, VISIBILITY
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.tasks.detection.rows import Rows, flat

Values = Mapping[str, ir.Value] | Trace
_PLACE = 2
"""Numbers of a keypoint that say where it is."""


@dataclass(frozen=True)
class Turned:
    """Boxes of middle and size, in pixels, that are turned round their middles: from x to y, in radians."""

    angle: Rows

    @property
    def said(self) -> str:
        """What a candidate has, in words."""
        return "an angle"

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that are read."""
        return self.angle.values

    def write(self, op: Tape, values: Values, count: int | None, boxes: ir.Value) -> dict[str, ir.Value]:
        """Return boxes [B, N, 4], their angles, and the least upright boxes round them."""
        angle = self.angle.write(op, values)
        middle, size = op.Slice(boxes, [0], [2], [2]), op.Slice(boxes, [2], [4], [2])
        wide, high = op.Slice(size, [0], [1], [2]), op.Slice(size, [1], [2], [2])
        cos, sin = op.Abs(op.Cos(angle)), op.Abs(op.Sin(angle))
        across = op.Add(op.Mul(wide, cos), op.Mul(high, sin))
        down = op.Add(op.Mul(wide, sin), op.Mul(high, cos))
        reach = op.Mul(op.Concat(across, down, axis=2), 0.5)
        upright = op.Concat(op.Sub(middle, reach), op.Add(middle, reach), axis=2)
        return {BOXES: flat(op, upright, count, 4), ORIENTED: flat(op, boxes, count, 4),
                ANGLES: flat(op, angle, count, 1)}  # fmt: skip


@dataclass(frozen=True)
class Keypoints:
    """Keypoints: x and y in pixels of the model's picture and, of three numbers, how sure it is that it is visible."""

    rows: Rows
    numbers: int
    """Of each: 2 or 3."""
    logits: Rows | None = None
    """What stands in front of the Sigmoid that makes the third, where the graph shows it."""
    names: tuple[tuple[str, ...], ...] = ()
    """Of the keypoints of each class, one for all where they are alike."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """The keypoints between which there is a bone."""

    @property
    def said(self) -> str:
        """What a candidate has, in words."""
        return f"{self.count} keypoints"

    @property
    def count(self) -> int:
        """How many a candidate has."""
        return self.rows.channels // self.numbers

    @property
    def has_visibility(self) -> bool:
        """Whether each has a third number."""
        return self.numbers > _PLACE

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that are read."""
        return self.rows.values + (self.logits.values if self.logits is not None else ())

    def names_of(self, index: int) -> tuple[str, ...]:
        """Return the names of the keypoints of a class; none where nothing names them."""
        if len(self.names) < 2:
            return self.names[0] if self.names else ()
        return self.names[index] if index < len(self.names) else ()

    def write(
        self, op: Tape, values: Values, count: int | None, scale: tuple[float, float]
    ) -> dict[str, ir.Value]:  # fmt: skip
        """Return their numbers, and the logits of their visibility where the graph shows them."""
        rows = self.rows.write(op, values)
        if scale != (1.0, 1.0):
            each = [*scale, *[1.0] * (self.numbers - _PLACE)] * self.count
            rows = op.Mul(rows, op.const(np.array(each, np.float32)))
        found = {KEYPOINTS: flat(op, rows, count, self.rows.channels)}
        if self.logits is not None:
            found[VISIBILITY] = flat(op, self.logits.write(op, values), count, self.count)
        return found


@dataclass(frozen=True)
class Masks:
    """Masks that are sums of prototypes over the model's picture, each with a coefficient of the candidate.

    Source: YOLACT, Bolya et al. 2019, arXiv:1904.02689, eq. 1; Ultralytics cuts them at the box and takes what is
    above 0, which is the same as half of a Sigmoid's.
    """

    coefficients: Rows
    prototypes: str
    """The value that holds them, [B, M, h, w]."""
    grid: tuple[int, int]
    """Their h and w."""

    @property
    def said(self) -> str:
        """What a candidate has, in words."""
        return f"masks of {self.coefficients.channels} prototypes"

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that are read."""
        return (*self.coefficients.values, self.prototypes)

    def write(
        self, op: Tape, values: Values, count: int | None, scale: tuple[float, float]
    ) -> dict[str, ir.Value]:  # fmt: skip
        """Return coefficients and prototypes."""
        rows = flat(op, self.coefficients.write(op, values), count, self.coefficients.channels)
        # A value of its own: the file may put out the other one under a name of its own.
        return {MASKS: rows, PROTOTYPES: op.Identity(op.cast(values[self.prototypes], ir.DataType.FLOAT))}
