"""Where a graph has its candidates: a box and the scores of classes for each, and how they are written as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.select import BOXES, LABELS, LOGITS, PROBABILITIES
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.tasks.detection.beside import Keypoints, Masks, Turned
from onnxsal.tasks.detection.grids import Grid
from onnxsal.tasks.detection.rows import Rows, flat

FORMS = ("ltrb", "cxcywh", "ltwh", "tlbr")
"""What the four numbers of a box may be: left, top, right, bottom; middle and size; left, top and size; TensorFlow's
top, left, bottom, right."""

UNITS = ("pixels", "shares")
"""Pixels of the model's picture, or shares of it from 0 to 1."""


@dataclass(frozen=True)
class Candidates:
    """Where boxes and scores are, and what they are."""

    outputs: tuple[str, ...]
    """The file's outputs that they are of, the one that is named first."""
    boxes: Rows
    form: str
    unit: str
    probabilities: Rows | None = None
    logits: Rows | None = None
    activation: str = "none"
    """What makes probabilities of logits where the file does not: ``sigmoid``, ``softmax``."""
    objectness: Rows | None = None
    """What class scores are multiplied with."""
    labels: Rows | None = None
    """The class of each candidate, where it has one score alone."""
    background: int | None = None
    """The class that is no object."""
    background_by: str = ""
    """Who says which class that is; nobody where it is the first or the last as others have it."""
    suppress: bool = True
    """Whether one object may have several candidates, so that all but the best are to be left out."""
    overlap: float | None = None
    """The IoU from which on the file itself leaves a candidate out; None where it does not say."""
    least: float | None = None
    """The score from which on the file itself keeps a candidate; None where it does not say."""
    several: bool = False
    """Whether one candidate may be of several classes, as it may behind NonMaxSuppression, which is asked class by
    class."""
    together: bool = False
    """Whether the file leaves a candidate out for a better one of another class as well."""
    in_doubt: bool = False
    """Whether the first of its scores may be that of any object, and no class: one Sigmoid makes all of them."""
    count: int | None = None
    """How many there are; None where that depends on the picture."""
    grid: Grid | None = None
    rest: Rows | None = None
    """Its channels behind boxes, scores and classes: what else there is of a candidate, whatever that is."""
    turned: Turned | None = None
    """By how much each box is turned round its middle, where it is."""
    keypoints: Keypoints | None = None
    masks: Masks | None = None
    proof: str = ""

    @property
    def classes(self) -> int:
        """How many scores a candidate has."""
        scores = self.probabilities or self.logits
        assert scores is not None
        return scores.channels

    @property
    def with_objectness(self) -> Candidates:
        """The same, the first of its scores that of any object, which the others are multiplied with."""
        assert self.probabilities is not None
        first, others = self.probabilities.part(0, 1), self.probabilities.part(1, self.classes)
        return replace(self, objectness=first, probabilities=others, logits=None, in_doubt=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that are read."""
        parts = (self.logits, self.probabilities, self.boxes, self.objectness, self.labels)
        own = [name for part in parts if part is not None for name in part.values]
        beside = (name for part in self.beside for name in part.reads)
        return tuple(dict.fromkeys((*own, *beside)))

    @property
    def beside(self) -> tuple[Turned | Keypoints | Masks, ...]:
        """What a candidate has beside its box and its scores."""
        return tuple(part for part in (self.turned, self.keypoints, self.masks) if part is not None)

    @property
    def has_logits(self) -> bool:
        """Whether a score has a logit: a product of two probabilities has none."""
        return self.logits is not None and self.objectness is None

    def column(self, row: int, index: int) -> int:
        """Return where the score of a candidate's class is among all; where each has a class of its own, its score."""
        return row * self.classes + (0 if self.labels is not None else index)

    @property
    def batched(self) -> bool:
        """Whether its rows are those of several pictures."""
        return self.boxes.batched

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace, size: tuple[int, int]) -> dict[str, ir.Value]:
        """Return scores, [B, N x K], and boxes, [B, N x 4]: left, top, right, bottom in pixels of a picture (height,
        width), of turned ones the least upright box round them; candidate by candidate. And what is beside them."""
        found = self._boxes(op, values, size)
        logits = None if self.logits is None else self.logits.write(op, values)
        if self.has_logits and logits is not None:
            found[LOGITS] = flat(op, logits, self.count, self.classes)
        found[PROBABILITIES] = flat(op, self._shares(op, values, logits), self.count, self.classes)
        if self.labels is not None:
            found[LABELS] = flat(op, self.labels.write(op, values), self.count, 1)
        for part in (self.keypoints, self.masks):
            found |= {} if part is None else part.write(op, values, self.count, self._scale(size))
        return found

    def _boxes(self, op: Tape, values: Mapping[str, ir.Value] | Trace, size: tuple[int, int]) -> dict[str, ir.Value]:
        boxes = self.boxes.write(op, values)
        if self.turned is None:
            return {BOXES: flat(op, self._corners(op, boxes, size), self.count, 4)}
        return self.turned.write(op, values, self.count, boxes)

    def _scale(self, size: tuple[int, int]) -> tuple[float, float]:
        """Return what x and y are multiplied with to be pixels."""
        return (1.0, 1.0) if self.unit == "pixels" else (float(size[1]), float(size[0]))

    def _shares(self, op: Tape, values: Mapping[str, ir.Value] | Trace, logits: ir.Value | None) -> ir.Value:
        if self.probabilities is not None:
            found = self.probabilities.write(op, values)
        else:
            assert logits is not None
            found = op.Softmax(logits, axis=2) if self.activation == "softmax" else op.Sigmoid(logits)
        if self.objectness is None:
            return found
        sure = self.objectness.write(op, values)
        return op.Mul(found, op.Sigmoid(sure) if self.activation == "sigmoid" else sure)

    def _corners(self, op: Tape, boxes: ir.Value, size: tuple[int, int]) -> ir.Value:
        if self.grid is not None:
            boxes = self.grid.decoded(op, boxes, size)
        if self.form == "ltrb":
            return self._scaled(op, boxes, size)
        first, last = op.Slice(boxes, [0], [2], [2]), op.Slice(boxes, [2], [4], [2])
        if self.form == "cxcywh":
            half = op.Mul(last, 0.5)
            first, last = op.Sub(first, half), op.Add(first, half)
        elif self.form == "ltwh":
            last = op.Add(first, last)
        corners = op.Concat(first, last, axis=2)
        if self.form == "tlbr":
            corners = op.Gather(boxes, op.const(np.array([1, 0, 3, 2])), axis=2)
        return self._scaled(op, corners, size)

    def _scaled(self, op: Tape, corners: ir.Value, size: tuple[int, int]) -> ir.Value:
        if self.unit == "pixels":
            return corners
        height, width = size
        return op.Mul(corners, op.const(np.array([width, height] * 2, np.float32)))
