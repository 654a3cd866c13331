"""What of a candidate is explained in place of its class: a side or the angle of its box, a keypoint, its mask."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from onnxsal.errors import UsageError, nearest
from onnxsal.tasks.detection.beside import Keypoints
from onnxsal.tasks.detection.candidates import Candidates

SIDES = ("left", "top", "right", "bottom")
AXES = ("x", "y")
ANGLE, MASK, KEYPOINT = "angle", "mask", "keypoint"

PASTED = "masks"
"""How torchvision calls the output of masks that lie where their boxes are."""

_PARTS = (rf"{KEYPOINT}\s+(?P<keypoint>\S.*)", rf"(?P<what>{'|'.join((*SIDES, ANGLE, MASK))})")
"""Keypoints first: one may be called left."""
_AT_END = [re.compile(rf"(?:(?P<rest>.*\S)\s+)?{pattern}", re.DOTALL) for pattern in _PARTS]
_EXPECTED = f"{', '.join((*SIDES, ANGLE, MASK))}, or {KEYPOINT} NUMBER, with x or y behind it for its place"


@dataclass(frozen=True)
class Reading:
    """Which number of a candidate is explained: of which kind, among how many, and whether it says how sure it is."""

    kind: str
    channels: int
    offset: int
    sure: bool = False

    def column(self, row: int) -> int:
        """Return where it is among those of all candidates."""
        return row * self.channels + self.offset


@dataclass(frozen=True)
class Part:
    """A part of a candidate by its name; of a keypoint the number or the name, and x or y where that is asked for."""

    what: str
    keypoint: str = ""

    @classmethod
    def read(cls, text: str) -> Part:
        """Return the part that text names. Raises: UsageError: there is no such."""
        rest, found = split(text.strip()) if isinstance(text, str) else ("", None)
        if found is None or rest:
            raise UsageError(f"side={text!r}: expected {_EXPECTED}")
        return found

    @property
    def text(self) -> str:
        """As it was asked for."""
        return f"{self.what} {self.keypoint}".strip()

    @property
    def is_place(self) -> bool:
        """Whether its number says where something is, and not how sure a detector is of it."""
        return self.what in (*SIDES, ANGLE) or self.keypoint.rpartition(" ")[2] in AXES

    def of(self, found: Candidates, index: int) -> Reading:
        """Return what is read of candidates of a class. Raises: UsageError: they have no such part."""
        return _READERS[self.what](self, found, index)

    def place(self, points: Keypoints, index: int) -> tuple[int, str]:
        """Return the number of the keypoint that is meant, and x, y or nothing. Raises: UsageError: there is none."""
        names, (name, _, axis) = points.names_of(index), self.keypoint.rpartition(" ")
        wanted, axis = (name.strip(), axis) if axis in AXES and self.keypoint not in names else (self.keypoint, "")
        if wanted in names:
            return names.index(wanted), axis
        if not wanted.isdecimal() or int(wanted) >= points.count:
            known = f" ({', '.join(names)})" if names else ""
            raise UsageError(
                f"{self.text!r}: there is no keypoint {wanted!r}{nearest(wanted, names)}; they are 0 to "
                f"{points.count - 1}{known}"
            )
        return int(wanted), axis


def split(text: str) -> tuple[str, Part | None]:
    """Return text without the part at its end, and that; a part alone is that of the best detection."""
    for pattern in _AT_END:
        if found := pattern.fullmatch(text):
            named = found.groupdict()
            return named["rest"] or "", Part(named.get("what") or KEYPOINT, named.get("keypoint", "").strip())
    return text, None


def _side(part: Part, found: Candidates, index: int) -> Reading:
    return Reading("box", len(SIDES), SIDES.index(part.what))


def _angle(part: Part, found: Candidates, index: int) -> Reading:
    if found.turned is None:
        raise UsageError(_lacks(part, "its boxes are upright"))
    return Reading(ANGLE, 1, 0)


def _mask(part: Part, found: Candidates, index: int) -> Reading:
    if found.masks is None:
        own = "the masks that it puts out are pasted by it; those that are sums of prototypes are read"
        raise UsageError(_lacks(part, own if PASTED in found.outputs else "it has no masks of instances"))
    return Reading(MASK, 1, 0)


def _keypoint(part: Part, found: Candidates, index: int) -> Reading:
    points = found.keypoints
    if points is None:
        own = "the shape of its output 'keypoints' does not say how many there are"
        raise UsageError(_lacks(part, own if "keypoints" in found.outputs else "it has no keypoints"))
    at, axis = part.place(points, index)
    if axis:
        return Reading(KEYPOINT, points.rows.channels, at * points.numbers + AXES.index(axis))
    if not points.has_visibility:
        raise UsageError(f"{part.text!r}: its keypoints are places alone; ask for x or y: '{part.text} x'")
    return visible(points, at) if points.logits is None else Reading("visibility", points.count, at, sure=True)


def visible(points: Keypoints, at: int) -> Reading:
    """Return the reading of how sure it is that a keypoint is visible, from 0 to 1."""
    return Reading(KEYPOINT, points.rows.channels, at * points.numbers + len(AXES), sure=True)


def _lacks(part: Part, why: str) -> str:
    return (
        f"{part.text!r}: nothing of the file proves that it has such a part: {why}; MODEL.detection.json beside it "
        "can say it"
    )


_READERS: dict[str, Callable[[Part, Candidates, int], Reading]] = {
    **dict.fromkeys(SIDES, _side), ANGLE: _angle, MASK: _mask, KEYPOINT: _keypoint,
}  # fmt: skip
