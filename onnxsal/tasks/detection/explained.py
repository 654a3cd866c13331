"""A candidate, or a part of it, as the target that is explained: its columns, what it is fed, what is told of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy.select import BOX, CLASS, MASK
from onnxsal.errors import NotSeenError
from onnxsal.modalities.frame import Frame
from onnxsal.tasks.detection import part as parts
from onnxsal.tasks.detection.anew import MATCH, PLACED, SURE
from onnxsal.tasks.detection.box import Asked
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.found import Detected
from onnxsal.tasks.detection.instances import Details, Instance
from onnxsal.tasks.detection.masks import InstanceMask, inside_box
from onnxsal.tasks.detection.oriented import corners_of, lying
from onnxsal.tasks.detection.overlap import iou
from onnxsal.tasks.detection.part import Reading, visible


@dataclass(frozen=True)
class Wanted:
    """What was asked for, in a picture of one size (height, width), and the candidate that it is."""

    of: Candidates
    size: tuple[int, int]
    asked: Asked
    found: Detected
    name: str
    """Of its class."""
    number: int | None = None
    """By which ``#k`` names it, where it is a detection."""

    def target(self, details: Details | None) -> Instance:
        """Return the target. Args: details: of the picture; None where there is none yet.

        Raises: NotSeenError: its mask is empty. UsageError: it has no such part.
        """
        column = self.of.column(max(self.found.row, 0), self.found.index)
        whole = Instance(
            self.found.index, self.name, None, np.array([column], np.int64), np.ones(1, np.float32),
            {"detection": self._about()}, detected=self.found, aim=self._aim(),
            asked_box=self.asked.box,
        )  # fmt: skip
        return whole if self.asked.part is None else self._part(whole, self.asked.part, details)

    def _aim(self) -> tuple[float, ...]:
        if self.of.turned is None:
            return self.asked.box or self.found.box
        return lying(self.asked.box) if self.asked.box is not None else self.found.turned or ()

    def _about(self) -> dict[str, Any]:
        found, on_photo = self.found, self.asked.on_photo
        box = [round(n, 2) for n in on_photo(found.box, self.size)]
        about = {"label": self.name, "index": found.index, "score": found.score, "candidate": found.row, "box": box}
        if self.number is not None:
            about["number"] = self.number
        if found.turned is not None:
            corners = [self.asked.point_on_photo(each, self.size) for each in corners_of(found.turned)]
            about["corners"] = [[round(n, 2) for n in each] for each in corners]
        if self.asked.box is not None:
            about["asked_box"] = [round(n, 2) for n in on_photo(self.asked.box, self.size)]
        if self.asked.box is not None and found.row >= 0:
            about["iou"] = round(float(iou(np.array([found.box]), np.array([self.asked.box]))[0]), 4)
        return about

    def _part(self, whole: Instance, part: parts.Part, details: Details | None) -> Instance:
        reading = part.of(self.of, self.found.index)
        about = dict(whole.about["detection"]) | {"part": part.text}
        column = np.array([reading.column(max(self.found.row, 0))], np.int64)
        made = replace(
            whole, label=f"{self.name}, {part.text}", indices=column, kind=reading.kind, part=part, reading=reading,
            about={"detection": about},
        )  # fmt: skip
        if details is None:
            return made
        told, more = self._told(reading, details)
        return replace(made, about={"detection": about | told}, **more)

    def _told(self, reading: Reading, details: Details) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a manifest tells of a part, and what else its target has."""
        if reading.kind == parts.MASK:
            return self._mask(details)
        column = reading.column(self.found.row)
        told: dict[str, Any] = {}
        if reading.kind in ("keypoint", "visibility"):
            told = {"point": self._point(reading, details)}
        value = float(details.numbers[reading.kind][column])
        if not reading.sure:
            return told, {"shown": (math.nan, value)}
        points = details.points(self.found.row)
        assert points is not None
        sure = points[self._keypoint(reading)][-1]
        return told, {"shown": (sure, value if reading.kind == "visibility" else math.nan)}

    def _keypoint(self, reading: Reading) -> int:
        assert self.of.keypoints is not None
        return reading.offset if reading.kind == "visibility" else reading.offset // self.of.keypoints.numbers

    def _point(self, reading: Reading, details: Details) -> list[float]:
        points = details.points(self.found.row)
        assert points is not None
        place = self.asked.point_on_photo(points[self._keypoint(reading)][:2], self.size)
        return [round(n, 2) for n in place]

    def _mask(self, details: Details) -> tuple[dict[str, Any], dict[str, Any]]:
        logits = details.logits(self.found.row)
        assert logits is not None
        box = np.asarray(self.found.box, np.float32)
        inside = (logits > 0) & inside_box(box, (logits.shape[0], logits.shape[1]), self.size)
        if not inside.any():
            raise NotSeenError(f"the mask of {self.name!r} is empty: no position inside its box is above 0")
        share: NDArray[Any] = (inside / inside.sum()).astype(np.float32)
        frame = self.asked.frame
        shown = InstanceMask(logits, self.asked.on_photo(self.found.box, self.size), frame or Frame.whole(self.size))
        value = float((share * logits).sum(dtype=np.float64))
        return {"mask": shown.runs()}, {
            "shown": (math.nan, value), "indices": np.array([self.found.row], np.int64), "fed": {MASK: share[None]},
        }  # fmt: skip


def anew(target: Instance, of: Candidates) -> Instance:
    """Return a target as the score is fed that is matched anew in every picture."""
    box = {} if target.aim is None else {BOX: np.asarray(target.aim, np.float32)[None]}
    if target.is_open and target.reading is None:
        return target
    if target.reading is None or target.part is None:
        index = target.indices if of.labels is None else np.array([target.target], np.int64)
        return replace(target, indices=index, fed=box)
    reading = sure_of(target.reading, of)
    kind = kind_anew(reading)
    if target.detected is None:
        return replace(target, kind=kind, reading=reading)
    fed: dict[str, NDArray[Any]] = {**box, CLASS: np.array([target.detected.index], np.int64), **target.fed}
    indices = np.array([reading.offset], np.int64)
    return replace(target, kind=kind, fed=fed, indices=indices, reading=reading)


def sure_of(reading: Reading, of: Candidates) -> Reading:
    """Return a reading with a probability in place of a logit."""
    if reading.kind != "visibility":
        return reading
    assert of.keypoints is not None
    return visible(of.keypoints, reading.offset)


def kind_anew(reading: Reading) -> str:
    """Return the kind of score of a part that is matched anew."""
    if reading.kind == parts.MASK:
        return f"{parts.MASK} {MATCH}"
    return f"{SURE if reading.sure else PLACED}{reading.kind} {MATCH}"
