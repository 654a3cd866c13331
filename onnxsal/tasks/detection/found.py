"""What a detector's numbers say of a picture: its candidates, and which of them are detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxsal.tasks.detection import oriented
from onnxsal.tasks.detection.box import Sides, sides_of
from onnxsal.tasks.detection.overlap import iou, kept
from onnxsal.tasks.task import Numbers

Floats = NDArray[np.float32]

THRESHOLD, OVERLAP = 0.25, 0.5
"""The score from which on a candidate is a detection, and the IoU from which on two of a class are one."""

SAME = 0.999
"""The IoU from which on a box that is asked for is a candidate's own, as where a detection is named by its box."""

MOST = 300
"""Detections of a picture that are told of."""


@dataclass(frozen=True)
class Rule:
    """When a candidate is a detection."""

    threshold: float = THRESHOLD
    overlap: float | None = OVERLAP
    """None where the file leaves one candidate of an object itself."""
    several: bool = False
    """Whether a candidate may be of several classes."""
    together: bool = False
    """Whether one goes where a better one of another class overlaps it."""


@dataclass(frozen=True)
class Detected:
    """A candidate: its row, its class, the score of that, and its box in pixels of the model's picture."""

    row: int
    index: int
    score: float
    box: Sides
    turned: tuple[float, ...] | None = None
    """Middle, size and angle of a turned box, round which ``box`` is the least upright one."""


@dataclass(frozen=True)
class Table:
    """The candidates of a picture: scores [N, K], boxes [N, 4] and, where each has a class of its own, classes [N]."""

    scores: Floats
    boxes: Floats
    labels: NDArray[np.int64] | None
    background: int | None
    turned: Floats | None = None
    """Middles, sizes and angles of turned boxes, [N, 5]."""

    @classmethod
    def of(cls, numbers: Numbers, classes: int, background: int | None) -> Table:
        """Return what numbers hold."""
        boxes = numbers["box"].reshape(-1, 4)
        labels = np.rint(numbers["label"]).astype(np.int64) if "label" in numbers else None
        turned = None
        if "angle" in numbers:
            turned = np.concatenate([numbers["oriented"].reshape(-1, 4), numbers["angle"][:, None]], axis=1)
        return cls(numbers["probability"].reshape(len(boxes), classes), boxes, labels, background, turned)

    def _detected(self, row: int, index: int, score: float) -> Detected:
        turned = None if self.turned is None else tuple(float(n) for n in self.turned[row])
        return Detected(row, index, score, sides_of(self.boxes[row]), turned)

    def _objects(self) -> Floats:
        """Return the scores, 0 for the class that is no object."""
        if self.background is None:
            return self.scores
        found = self.scores.copy()
        found[:, self.background] = 0
        return found

    def detections(self, rule: Rule) -> list[Detected]:
        """Return the detections, best first: the best class of each candidate above the threshold, one an object."""
        scores = self._objects()
        if not len(scores):
            return []
        if not rule.several:
            scores = np.where(np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None], scores, 0)
        rows, columns = np.nonzero(scores > rule.threshold)
        order = np.argsort(-scores[rows, columns], kind="stable")
        rows, columns = rows[order], columns[order]
        classes = columns if self.labels is None else self.labels[rows]
        left = list(range(len(rows)))
        if rule.overlap is not None:
            left = self._kept(rows, classes * (not rule.together), rule.overlap)
        return [self._detected(int(rows[i]), int(classes[i]), float(scores[rows[i], columns[i]])) for i in left[:MOST]]

    def _kept(self, rows: NDArray[np.int64], classes: NDArray[np.int64], overlap: float) -> list[int]:
        if self.turned is None:
            return kept(self.boxes[rows], classes, overlap)
        return kept(self.turned[rows], classes, overlap, by=oriented.overlap)

    def best(self, index: int | None = None) -> Detected | None:
        """Return the surest candidate, of a class or of any; None where there is none."""
        scores = self._of_class(index) if index is not None else self._objects().max(axis=1, initial=0)
        if not len(scores) or (index is not None and not np.isfinite(scores).any()):
            return None
        row = int(scores.argmax())
        kind = index if index is not None else self._class(row)
        return self._detected(row, kind, float(scores[row]))

    def _class(self, row: int) -> int:
        return int(self._objects()[row].argmax()) if self.labels is None else int(self.labels[row])

    def _of_class(self, index: int) -> Floats:
        """Return the score of a class for every candidate, -inf for those of others."""
        if self.labels is None:
            return self.scores[:, index]
        return np.where(self.labels == index, self.scores[:, 0], -np.inf).astype(np.float32)

    def at(self, index: int, box: Sides) -> Detected | None:
        """Return the candidate that a box of a class is matched with; None where no candidate overlaps it.

        The one of the highest IoU times score of the class; candidates whose IoU is 0.5 or more go before all others,
        and those whose own box it is before these.
        """
        if not len(self.boxes):
            return None
        overlaps = iou(self.boxes, np.asarray(box)[None])
        scores = np.where(np.isneginf(self._of_class(index)), 0, self._of_class(index))
        value = overlaps * scores + (overlaps >= OVERLAP) + (overlaps >= SAME)
        if not (overlaps * (scores > 0)).any():
            return None
        row = int(value.argmax())
        return self._detected(row, index, float(scores[row]))
