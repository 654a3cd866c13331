"""Boxes: where on a picture a label is asked for, whether the model found it there or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onnxsal.errors import UsageError
from onnxsal.modalities.frame import Frame
from onnxsal.tasks.detection.part import SIDES, Part, split
from onnxsal.tasks.labels import Labels

Sides = tuple[float, float, float, float]


@dataclass(frozen=True)
class Box:
    """A label at a place: the model's best candidate there is explained, also where it is no detection.

    Args:
        label: index or label of the class.
        box: left, top, right, bottom. Units: pixels of the upright photograph, of a float array those of the input.
        side: ``left``, ``top``, ``right`` or ``bottom``, where that coordinate of the candidate's box is explained;
            ``angle`` of a turned one; ``mask``; ``keypoint 5`` by its number or name, ``keypoint 5 x`` for its place.
    """

    label: int | str
    box: Sides
    side: str | None = None


@dataclass(frozen=True)
class Asked:
    """A target on the model's picture: what was asked for, and where the picture lies."""

    wanted: int | str | None
    """A label, ``#k`` or None."""
    frame: Frame | None
    box: Sides | None = None
    """In pixels of the model's picture."""
    part: Part | None = None
    """What of a candidate is explained; its class where there is none."""

    def on_photo(self, box: Sequence[float], size: tuple[int, int]) -> Sides:
        """Return a box of the model's picture (height, width) in pixels of the photograph."""
        return on_photo(box, self.frame, size)

    def point_on_photo(self, point: Sequence[float], size: tuple[int, int]) -> tuple[float, float]:
        """Return a place of the model's picture (height, width) in pixels of the photograph."""
        return on_photo((*point, *point), self.frame, size)[:2]


def on_photo(box: Sequence[float], frame: Frame | None, size: tuple[int, int]) -> Sides:
    """Return a box of the model's picture (height, width) in pixels of the photograph."""
    at = Frame.whole(size) if frame is None else frame
    left, top, width, height = at.box
    x, y = width / size[1], height / size[0]
    found = (left + box[0] * x, top + box[1] * y, left + box[2] * x, top + box[3] * y)
    return found[0], found[1], found[2], found[3]


def on_model(box: Sides, frame: Frame | None, size: tuple[int, int]) -> Sides:
    """Return a box of the photograph in pixels of the model's picture. Raises: UsageError: it lies beside it."""
    at = Frame.whole(size) if frame is None else frame
    _check(box, at)
    (x0, y0), (x1, y1) = at.shares(box[0], box[1]), at.shares(box[2], box[3])
    height, width = size
    if x1 <= 0 or y1 <= 0 or x0 >= 1 or y0 >= 1:
        raise UsageError(f"the model does not see the box {told(box)}: of the photograph it is shown {_seen(at)}")
    return x0 * width, y0 * height, x1 * width, y1 * height


def _check(box: Sides, at: Frame) -> None:
    try:
        numbers = [float(n) for n in box]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != len(SIDES) or not all(map(math.isfinite, numbers)):
        raise UsageError(f"a box is left, top, right, bottom, finite numbers; got {box!r}")
    if numbers[2] <= numbers[0] or numbers[3] <= numbers[1]:
        raise UsageError(f"a box is left, top, right, bottom, right of left and below top; got {told(box)}")
    width, height = at.photo
    if numbers[0] >= width or numbers[1] >= height or numbers[2] <= 0 or numbers[3] <= 0:
        raise UsageError(f"the box {told(box)} is outside the picture, which is {width} x {height}")


def _seen(at: Frame) -> str:
    left, top, width, height = at.box
    return f"the columns {left:.4g} to {left + width:.4g} and the rows {top:.4g} to {top + height:.4g}"


def told(box: Sequence[float]) -> str:
    """Return a box as a target names it: whole pixels."""
    return ",".join(f"{round(n)}" for n in box)


def placed(
    target: Asked | Box | int | str | None, frame: Frame | None, size: tuple[int, int], labels: Labels | None
) -> Asked:
    """Return what a target means on the model's picture: ``#2``, ``dog``, ``dog@10,20,200,180``; with a part behind it
    that, ``#2 left``.

    Raises: UsageError: a box is none, or outside the picture.
    """
    if isinstance(target, Asked):
        return target
    if isinstance(target, Box):
        part = None if target.side is None else Part.read(target.side)
        return Asked(target.label, frame, on_model(target.box, frame, size), part)
    if not isinstance(target, str) or (labels is not None and target.strip() in labels.names):
        return Asked(target, frame)
    text, part = split(target.strip())
    name, box = _at(text)
    return Asked(name or None, frame, None if box is None else on_model(box, frame, size), part)


def place_of(target: object, labels: Labels | None) -> str | None:
    """Return the part that a target asks for whose number says where something is; None where it asks for a score."""
    if isinstance(target, Asked):
        part = target.part
    elif isinstance(target, Box):
        part = None if target.side is None else Part.read(target.side)
    else:
        text = target.strip() if isinstance(target, str) else ""
        part = None if labels is not None and text in labels.names else split(text)[1]
    return part.text if part is not None and part.is_place else None


def _at(text: str) -> tuple[str, Sides | None]:
    name, sign, place = text.rpartition("@")
    if not sign:
        return text, None
    try:
        numbers = [float(part) for part in place.split(",")]
    except ValueError:
        numbers = []
    if not name.strip() or len(numbers) != len(SIDES):
        raise UsageError(
            f"{text!r}: a label at a box is written LABEL@LEFT,TOP,RIGHT,BOTTOM, in pixels of the photograph, for "
            "example 'dog@10,20,200,180'"
        )
    return name.strip(), (numbers[0], numbers[1], numbers[2], numbers[3])


def number(wanted: int | str | None) -> int | None:
    """Return the number of a detection that text such as ``#2`` names, None where it is no such text."""
    text = wanted.strip() if isinstance(wanted, str) else ""
    return int(text[1:]) if text.startswith("#") and text[1:].isdecimal() else None


def sides_of(box: Sequence[float]) -> Sides:
    """Return four numbers as a box."""
    left, top, right, bottom = (float(n) for n in box)
    return left, top, right, bottom


__all__ = ["SIDES", "Asked", "Box", "Sides", "number", "on_photo", "place_of", "placed", "sides_of", "told"]
