"""What a detector finds on a picture, what of it is explained, and which true boxes it is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxsal.errors import NotSeenError
from onnxsal.evaluation.class_names import Classes
from onnxsal.evaluation.items import Item, Outline
from onnxsal.evaluation.matching import IGNORED, TRUE, UNKNOWN, Matched, Truth, matched
from onnxsal.explanation.target import TargetSource, resolve_target
from onnxsal.modalities.frame import Frame
from onnxsal.model import Model
from onnxsal.tasks import Target
from onnxsal.tasks.detection import BoxPrediction
from onnxsal.tasks.detection.box import Sides, on_photo, sides_of
from onnxsal.tasks.detection.instances import Instance
from onnxsal.tasks.detection.search import name_of


@dataclass(frozen=True)
class Chosen:
    """A detection that is explained; boxes are in pixels of the photograph.

    Attributes:
        target: how it is asked for. number: its place among the picture's detections, 1 for the surest; None of a box
            that was asked for and is none of them.
        side: of a coordinate that is explained, else empty.
        verdict: ``true``, ``false``, ``ignored`` or ``unknown`` (see ``matching``); empty without annotations.
        true_box, overlap: what it is on, and their IoU. corners, true_corners: of boxes that are turned.
    """

    target: TargetSource
    number: int | None
    index: int
    label: str
    box: Sides
    side: str = ""
    verdict: str = ""
    true_box: Sides | None = None
    overlap: float | None = None
    corners: Outline | None = None
    true_corners: Outline | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as rows have it."""
        found: dict[str, Any] = {"number": self.number, "box": [round(n, 3) for n in self.box]}
        if not self.verdict:
            return found
        true_box = None if self.true_box is None else [round(n, 3) for n in self.true_box]
        iou = None if self.overlap is None else round(self.overlap, 6)
        return {**found, "verdict": self.verdict, "true_box": true_box, "iou": iou}


@dataclass(frozen=True)
class OnPicture:
    """What a picture holds: detections, those that are explained, true boxes, and what is said where none is."""

    name: str
    found: tuple[tuple[int, float, Sides], ...]
    chosen: tuple[Chosen, ...]
    verdicts: tuple[Matched, ...] | None = None
    truths: tuple[Truth, ...] = ()
    why: str = ""


def look(model: Model, source: Any, target: TargetSource) -> dict[str, Any]:
    """Return what is found on a picture, and which of it a target means, as a journal holds it.

    Raises: ImageError: the picture cannot be read. ModelError: the model cannot be run on it.
    """
    fitted = model.fitter(model, source)
    opened, sample = fitted.model, fitted.sample
    numbers, task, labels = opened.outputs(sample.x), opened.task, opened.labels
    frame = sample.seen.frame if sample.seen is not None else Frame.whole(opened.size)
    found = [each for each in opened.seen(sample, numbers) if isinstance(each, BoxPrediction)]
    chosen, why, several = list[dict[str, Any]](), "", task.is_several(target, labels)
    try:
        for one in task.several(target, numbers, labels):
            chosen.append(_chosen(resolve_target(opened, one, numbers, sample), found, frame, opened.image_size))
    except NotSeenError as error:
        why = "" if several else str(error)
    return {
        "found": [[each.index, each.probability, list(each.box)] for each in found], "chosen": chosen, "why": why,
        "corners": [each.corners and [list(place) for place in each.corners] for each in found],
        "photo": list(frame.photo), "view": list(frame.box),
    }  # fmt: skip


def _chosen(goal: Target, found: Sequence[BoxPrediction], frame: Frame, size: tuple[int, int]) -> dict[str, Any]:
    assert isinstance(goal, Instance) and goal.detected is not None
    box, index = on_photo(goal.detected.box, frame, size), goal.detected.index
    number = next((each.number for each in found if each.index == index and each.box == box), None)
    side = goal.part.text if goal.part is not None else ""
    return {
        "number": number,
        "index": index,
        "box": list(box),
        "side": side,
        "corners": goal.about["detection"].get("corners"),
        "at": "asked_box" in goal.about["detection"],
    }


def held_against(
    entry: Mapping[str, Any], item: Item, target: TargetSource, model: Model, classes: Classes | None
) -> OnPicture:
    """Return what was found on a picture with the true boxes that it is on.

    Args: entry: as ``look`` gives it. target: what was asked for. classes: None where there are no annotations.
    """
    found = tuple((int(index), float(score), sides_of(box)) for index, score, box in entry["found"])
    chosen = tuple(_asked(each, target, model) for each in entry["chosen"])
    if classes is None:
        return OnPicture(item.name, found, chosen, why=entry["why"])
    truths = _truths(item, classes, tuple(entry["photo"]), entry["view"])
    corners = [_outline(each) for each in entry.get("corners", ())]
    verdicts = tuple(
        _known(each, index, item, classes)
        for each, (index, _, _) in zip(matched([(i, box) for i, _, box in found], truths, corners), found, strict=True)
    )
    chosen = tuple(_told(each, verdicts, truths, item, classes) for each in chosen)
    return OnPicture(item.name, found, chosen, verdicts, truths, entry["why"])


def _asked(each: Mapping[str, Any], target: TargetSource, model: Model) -> Chosen:
    number, side, index = each["number"], each["side"], int(each["index"])
    label = name_of(model.labels, index) + (f", {side}" if side else "")
    own = target if number is None or each["at"] else f"#{number} {side}".strip()
    return Chosen(own, number, index, label, sides_of(each["box"]), side, corners=_outline(each.get("corners")))


def _outline(corners: Sequence[Sequence[float]] | None) -> Outline | None:
    return None if corners is None else tuple((float(x), float(y)) for x, y in corners)


def _told(each: Chosen, verdicts: Sequence[Matched], truths: Sequence[Truth], item: Item, classes: Classes) -> Chosen:
    """A box that was asked for and is no detection is held against the true boxes alone."""
    if each.number is not None:
        verdict = verdicts[each.number - 1]
    else:
        verdict = _known(matched([(each.index, each.box)], truths, [each.corners])[0], each.index, item, classes)
    if verdict.at is None:
        return replace(each, verdict=verdict.verdict)
    true = truths[verdict.at]
    return replace(each, verdict=verdict.verdict, true_box=true.box, overlap=verdict.overlap, true_corners=true.outline)


def _known(verdict: Matched, index: int, item: Item, classes: Classes) -> Matched:
    """What annotations do not tell of is no false alarm."""
    if verdict.verdict in (TRUE, IGNORED) or (
        item.boxes is not None and (classes.unlabelled or index in classes.known)
    ):
        return verdict
    return Matched(UNKNOWN)


def _truths(item: Item, classes: Classes, photo: tuple[int, int], view: Sequence[float]) -> tuple[Truth, ...]:
    """Return the true boxes of the model's classes that it sees, in pixels of the photograph."""
    width, height = photo if item.shares else (1, 1)
    kinds, ignored = item.kinds or (None,) * len(item.boxes or ()), item.ignored or ("",) * len(item.boxes or ())
    outlines = item.outlines or (None,) * len(item.boxes or ())
    found = []
    for box, kind, why, outline in zip(item.boxes or (), kinds, ignored, outlines, strict=True):
        if kind is not None and kind not in classes.indices:
            continue
        seen = _seen((box[0] * width, box[1] * height, box[2] * width, box[3] * height), photo, view)
        if seen is not None:
            corners = None if outline is None else tuple((x * width, y * height) for x, y in outline)
            found.append(Truth(seen, None if kind is None else classes.indices[kind], why, corners))
    return tuple(found)


def _seen(box: Sides, photo: tuple[int, int], view: Sequence[float]) -> Sides | None:
    """Return the part of a box that a crop leaves, all of it where it cuts nothing off; None where nothing is left."""
    left, top, wide, high = view
    right, bottom = left + wide, top + high
    cut = (
        max(box[0], left) if left > 0 else box[0], max(box[1], top) if top > 0 else box[1],
        min(box[2], right) if right < photo[0] else box[2], min(box[3], bottom) if bottom < photo[1] else box[3],
    )  # fmt: skip
    inside = cut[0] < cut[2] and cut[1] < cut[3] and box[0] < right and box[2] > left and box[1] < bottom
    return cut if inside and box[3] > top else None


def object_of(item: Item, chosen: Chosen, photo: Sequence[int]) -> Item:
    """Return a picture with the one box that maps of a detection are to lie in: the true one that it is on, its own
    where nothing is annotated; none of a detection that is on no true box. A picture that the annotations do not have
    keeps none."""
    if chosen.verdict and item.boxes is None:
        return item
    box = _clipped(chosen.box, photo) if not chosen.verdict else chosen.true_box if chosen.verdict == TRUE else None
    none = replace(item, kinds=None, classes=None, shares=False, ignored=None)
    outline = chosen.corners if not chosen.verdict else chosen.true_corners
    return replace(none, boxes=() if box is None else (box,), outlines=(outline,) if box and outline else None)


def _clipped(box: Sides, photo: Sequence[int]) -> Sides | None:
    width, height = photo
    inside = max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))
    return inside if inside[0] < inside[2] and inside[1] < inside[3] else None
