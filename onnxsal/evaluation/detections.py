"""What a detector found on all pictures of a run, held against the true boxes: counts, and what is wrong by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnxsal.evaluation.class_names import Classes
from onnxsal.evaluation.detected import OnPicture
from onnxsal.evaluation.matching import FALSE, IGNORED, LEAST, TRUE, UNKNOWN
from onnxsal.evaluation.rows import named
from onnxsal.model import Model
from onnxsal.tasks.detection.box import Sides
from onnxsal.tasks.detection.search import name_of

_SHOWN = 5


@dataclass(frozen=True)
class Detection:
    """A detection, or a true box without one (its ``number`` and ``score`` are None then)."""

    image: str
    number: int | None
    label: str
    score: float | None
    box: Sides

    def __str__(self) -> str:
        sure = "" if self.score is None else f" {100 * self.score:.0f} %"
        place = "" if self.number is not None else f" at {','.join(f'{n:.0f}' for n in self.box)}"
        return f"{named(self.image, self.number)} {self.label}{sure}{place}"

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        known = {"image": self.image, "number": self.number, "label": self.label, "score": self.score}
        return {**known, "box": [round(n, 3) for n in self.box]}


@dataclass(frozen=True)
class Detections:
    """All detections of a run's pictures, whether their maps were judged or not.

    Attributes:
        pictures, found, judged: how many were looked at, were detected, and are explained.
        empty: pictures on which nothing is detected.
        true: detections on a true box of their label (IoU 0.5; greedily by score, as COCO's evaluation), None without
            annotations; likewise ignored: on a crowd or what is difficult to see; unknown: of a label, or on a picture,
            that the annotations say nothing of.
        false: detections on no true box. missed: true boxes without a detection.
        notes: what of the annotations' labels and the model's does not meet.
    """

    pictures: int
    found: int
    judged: int
    empty: int
    true: int | None = None
    ignored: int = 0
    unknown: int = 0
    false: tuple[Detection, ...] = ()
    missed: tuple[Detection, ...] = ()
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        counts = {name: getattr(self, name) for name in ("pictures", "found", "judged", "empty")}
        if self.true is None:
            return counts
        listed = {name: [each.plain() for each in getattr(self, name)] for name in ("false", "missed")}
        more = {name: getattr(self, name) for name in ("true", "ignored", "unknown")}
        return {**counts, "iou": LEAST, **more, **listed, "notes": list(self.notes)}

    def says(self) -> list[str]:
        """Return it in sentences."""
        nothing = f", on {self.empty} of which nothing is detected" if self.empty else ""
        lines = [f"detections: {self.found} on {_many(self.pictures, 'picture')}{nothing}; judged: {self.judged}"]
        if self.true is None:
            return [*lines, "no boxes are given (--boxes): the object is the detected box"]
        lines.append(
            f"on a true box of the label (IoU {LEAST}): {self.true}; on none: {len(self.false)}{_few(self.false)}; "
            f"true boxes missed: {len(self.missed)}{_few(self.missed)}"
        )
        if self.ignored:
            lines.append(f"on a crowd or on what is difficult to see, neither right nor wrong: {self.ignored}")
        if self.unknown:
            lines.append(f"of a label, or on a picture, that the annotations say nothing of: {self.unknown}")
        return [*lines, *self.notes]


def _many(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def _few(several: Sequence[Detection]) -> str:
    shown = ", ".join(map(str, several[:_SHOWN]))
    more = f" and {len(several) - _SHOWN} more" if len(several) > _SHOWN else ""
    return f" ({shown}{more})" if several else ""


def summed(pictures: Sequence[OnPicture], classes: Classes | None, model: Model) -> Detections:
    """Return what was found on pictures as one."""
    found = Detections(
        len(pictures), sum(len(each.found) for each in pictures), sum(len(each.chosen) for each in pictures),
        sum(not each.found for each in pictures),
    )  # fmt: skip
    if classes is None:
        return found
    verdicts = [v.verdict for each in pictures for v in each.verdicts or ()]
    false = [wrong for each in pictures for wrong in _false(each, model)]
    missed = [truth for each in pictures for truth in _missed(each, model)]
    return Detections(
        found.pictures, found.found, found.judged, found.empty, verdicts.count(TRUE), verdicts.count(IGNORED),
        verdicts.count(UNKNOWN), tuple(false), tuple(missed), classes.notes,
    )  # fmt: skip


def _false(each: OnPicture, model: Model) -> list[Detection]:
    return [
        Detection(each.name, number, name_of(model.labels, index), score, box)
        for number, ((index, score, box), verdict) in enumerate(zip(each.found, each.verdicts or (), strict=False), 1)
        if verdict.verdict == FALSE
    ]


def _missed(each: OnPicture, model: Model) -> list[Detection]:
    taken = {verdict.at for verdict in each.verdicts or () if verdict.verdict == TRUE}
    return [
        Detection(each.name, None, "an object" if truth.index is None else name_of(model.labels, truth.index), None,
                  truth.box)
        for at, truth in enumerate(each.truths) if at not in taken and not truth.ignored
    ]  # fmt: skip
