"""One detection: as it is told of, and as a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.modalities.frame import Frame
from onnxsal.tasks.detection.beside import Keypoints, Masks
from onnxsal.tasks.detection.box import Sides, on_photo, told
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.found import Detected
from onnxsal.tasks.detection.masks import InstanceMask
from onnxsal.tasks.detection.oriented import Corners, corners_of
from onnxsal.tasks.detection.part import Part, Reading
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Numbers, Prediction

Size = tuple[int, int]
Points = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class BoxPrediction(Prediction):
    """A detection: its class, its score, its number and its box; and what else its file says of it."""

    number: int = 0
    """By which ``#k`` names it, best first."""
    box: Sides = (0.0, 0.0, 0.0, 0.0)
    """Left, top, right, bottom; of a turned one the least upright box round it. Units: pixels of the photograph, of an
    array those of the input."""
    corners: Corners | None = None
    """x and y of the corners of a turned box, the upper left one of the box before it is turned first, clockwise."""
    angle: float | None = None
    """By how much a box is turned, from x to y. Units: radians."""
    keypoints: Points | None = None
    """x, y and, where the file says it, how sure it is that it is visible, of each."""
    keypoint_names: tuple[str, ...] = field(default=(), repr=False)
    skeleton: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """The keypoints between which there is a bone."""
    mask: InstanceMask | None = field(default=None, repr=False)
    """Its pixels: ``mask.pixels()`` is bool [h, w] over the photograph."""

    @property
    def told(self) -> str:
        """The target that it is, and where it lies."""
        return f"#{self.number} {self.label} ({self.index}) at {told(self.box)}"

    def onto(self, frame: Frame | None, size: Size) -> BoxPrediction:
        """Return the same of the model's picture (height, width) in pixels of the photograph."""
        at = Frame.whole(size) if frame is None else frame
        corners = None if self.corners is None else placed(self.corners, at, size)
        box, points = on_photo(self.box, at, size), self.keypoints
        return replace(
            self, box=box, corners=corners, angle=None if corners is None else angle_of(corners),
            keypoints=None if points is None else moved(points, at, size),
            mask=None if self.mask is None else replace(self.mask, box=box, frame=at),
        )  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        found: dict[str, Any] = {
            "label": self.label, "index": self.index, "score": self.probability, "logit": self.logit,
            "box": list(self.box),
        }  # fmt: skip
        if self.corners is not None:
            found |= {"corners": [list(each) for each in self.corners], "angle": self.angle}
        if self.keypoints is not None:
            found["keypoints"] = [list(each) for each in self.keypoints]
            found |= {"keypoint_names": list(self.keypoint_names)} if self.keypoint_names else {}
        return found | ({} if self.mask is None else {"mask": self.mask.runs()})


def placed(points: Corners, frame: Frame, size: Size) -> Corners:
    """Return places on the model's picture (height, width) in pixels of the photograph."""
    return tuple(on_photo((x, y, x, y), frame, size)[:2] for x, y in points)


def moved(points: Points, frame: Frame, size: Size) -> Points:
    """Return keypoints on the model's picture (height, width) in pixels of the photograph."""
    return tuple((*on_photo((*p[:2], *p[:2]), frame, size)[:2], *p[2:]) for p in points)


def angle_of(corners: Corners) -> float:
    """Return which way the upper side of a turned box goes, from x to y, in radians; more than -pi, at most pi."""
    (x0, y0), (x1, y1), _, (x3, y3) = corners
    if (x0, y0) != (x1, y1):
        return math.atan2(y1 - y0, x1 - x0)
    return math.atan2(x0 - x3, y3 - y0)


@dataclass(frozen=True)
class Details:
    """What numbers say of candidates of a picture (height, width) beside box and class."""

    of: Candidates
    numbers: Numbers
    size: Size

    def points(self, row: int) -> Points | None:
        """Return the keypoints of a candidate, on the model's picture; None where it has none."""
        points: Keypoints | None = self.of.keypoints
        if points is None:
            return None
        own = self.numbers["keypoint"].reshape(-1, points.count, points.numbers)[row]
        return tuple(tuple(float(n) for n in each) for each in own)

    def logits(self, row: int) -> NDArray[np.float32] | None:
        """Return the logits of a candidate's mask over the model's picture, [h, w]; None where it has none."""
        masks: Masks | None = self.of.masks
        if masks is None:
            return None
        own = self.numbers["mask"].reshape(-1, masks.coefficients.channels)[row]
        found: NDArray[np.float32] = np.tensordot(own, self.numbers["prototype"], 1)
        return found

    def mask(self, found: Detected) -> InstanceMask | None:
        """Return the mask of a candidate, over the model's picture; None where it has none."""
        logits = self.logits(found.row)
        return None if logits is None else InstanceMask(logits, found.box, Frame.whole(self.size))

    def told(self, found: Detected, prediction: BoxPrediction) -> BoxPrediction:
        """Return what is told of a candidate with all that there is of it, on the model's picture."""
        corners = None if found.turned is None else corners_of(found.turned)
        points = self.of.keypoints
        return replace(
            prediction, corners=corners, angle=None if corners is None else angle_of(corners),
            keypoints=self.points(found.row), mask=self.mask(found),
            keypoint_names=() if points is None else points.names_of(found.index),
            skeleton=() if points is None else points.skeleton,
        )  # fmt: skip


@dataclass(frozen=True)
class Instance(Target):
    """A target that is a candidate of a picture, or a part of it."""

    detected: Detected | None = field(default=None, compare=False)
    """None where every picture is to say which."""
    number: int | None = field(default=None, compare=False)
    """Which detection of every picture it is; None where that is not how it was asked for."""
    aim: tuple[float, ...] | None = field(default=None, compare=False)
    """The box that it is matched with, in pixels of the model's picture: sides, or middle, size and angle."""
    asked_box: Sides | None = field(default=None, compare=False)
    """The box that was asked for, in these."""
    part: Part | None = None
    reading: Reading | None = field(default=None, compare=False)
    """The number that is explained in place of the class's score."""
    shown: tuple[float, float] = field(default=(math.nan, math.nan), compare=False)
    """What an Explanation of a part calls score and logit."""

    @property
    def held(self) -> Mapping[str, NDArray[Any]]:
        """The box that a candidate is looked for at, in pixels of the model's picture."""
        return {} if self.asked_box is None else {"box": np.array([self.asked_box], np.float32)}
