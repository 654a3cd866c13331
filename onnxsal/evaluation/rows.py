"""What a run gives: rows, one an image x method x metric, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any

from onnxsal.explanation.explanation import finite

Curve = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Row:
    """One value: a metric of a method's map of an image.

    Attributes:
        image: the picture's name; of a mosaic the names of its pictures with ``+`` between.
        target, label: the class explained, index and name, or the text of what is explained (None where it has none);
            probability: the model's for it, NaN where it has none.
        truth: the index of the class that the picture shows, where it is known.
        value: NaN where the metric is not defined, for example of a flat map.
        parameters: every parameter that the value depends on. details: numbers and words on the way to it, such as
            what stood for the object, or the parts of a mean.
        curve: pairs of the share of pixels changed and the score there, for metrics that walk one.
        seconds, forwards, backwards: what the map cost, images through the model; where maps of a picture's detections
            came out of the same runs, what all of them cost together.
        detection: of a detector which of the picture's detections is explained: ``number``, 1 for the surest, ``box``
            (left, top, right, bottom in pixels of the photograph) and, where true boxes are known, ``verdict``,
            ``true_box`` and ``iou``.
    """

    image: str
    target: int | str | None
    label: str
    probability: float
    method: str
    metric: str
    value: float
    truth: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    curve: Curve | None = None
    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    map_key: str = ""
    """What the map is called in the journal."""
    detection: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """What is judged: the picture, or one of its detections."""
        return self.image if self.detection is None else named(self.image, self.detection["number"])

    def plain(self) -> dict[str, Any]:
        """Return it as data that JSON can hold: NaN becomes None."""
        return {each.name: finite(getattr(self, each.name)) for each in fields(self)}


def named(image: str, number: int | None) -> str:
    """Return how results call a detection of a picture; of a box that was asked for and is none the picture."""
    return image if number is None else f"{image} #{number}"


def from_plain(entry: Mapping[str, Any]) -> Row:
    """Return the row that was written down with ``plain``."""
    known = {name: entry[name] for name in Row.__dataclass_fields__ if name in entry}
    nan = float("nan")
    for name in ("value", "probability"):
        known[name] = nan if known[name] is None else known[name]
    if known.get("curve") is not None:
        known["curve"] = [[nan if v is None else v for v in point] for point in known["curve"]]
    return Row(**known)


@dataclass(frozen=True)
class Failure:
    """A picture, or one method's map of it, that could not be judged; everything else goes on."""

    image: str
    method: str | None
    message: str

    def __str__(self) -> str:
        who = f"{self.image}, {self.method}" if self.method else self.image
        return self.message if self.message.startswith(self.image) else f"{who}: {self.message}"


@dataclass(frozen=True)
class About:
    """What is to know of a metric beside its values."""

    name: str
    when: str
    higher_is_better: bool
    paper: str = ""
    ends: tuple[float, float] = (-inf, inf)
    """The least and the greatest value."""
