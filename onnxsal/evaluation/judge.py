"""One picture judged: its maps made once, and every metric that still misses asked about all of them together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal import plugins
from onnxsal.errors import ImageError, UsageError
from onnxsal.evaluation.columns import given_of
from onnxsal.evaluation.items import Item
from onnxsal.evaluation.mosaics import cell
from onnxsal.evaluation.named import Named
from onnxsal.evaluation.placement import boxes_mask, moved_boxes, moved_mask, moved_outlines, placement
from onnxsal.evaluation.planes import Plane
from onnxsal.evaluation.rows import About
from onnxsal.evaluation.score import scorer_of
from onnxsal.evaluation.sources import Found, Maps, Source, Subject
from onnxsal.explanation.run import Clean
from onnxsal.explanation.shapley.background import Background
from onnxsal.explanation.target import TargetSource, placed_in, resolve_target
from onnxsal.fingerprint import code_digest
from onnxsal.metrics.baselines import OF_TEXTS
from onnxsal.metrics.registry import Metric
from onnxsal.modalities.frame import Frame
from onnxsal.modalities.nouns import nouns_of, speaking
from onnxsal.model import Model, Sample
from onnxsal.records import spread
from onnxsal.tasks import Target

Floats = NDArray[np.float32]

OBJECT = ("mask", "boxes")
"""What a picture may come without."""


@dataclass(frozen=True)
class Judge:
    """A metric with its options, under the name that results use."""

    label: str
    metric: Metric
    options: Mapping[str, Any]
    origin: str = ""
    """Package and version that brought the metric; of one that this program made a hash of its code."""

    @property
    def about(self) -> About:
        """What is to know of it."""
        return About(self.label, self.metric.when, self.metric.higher_is_better, self.metric.paper, self.metric.ends)

    @property
    def on_mosaics(self) -> bool:
        """Whether it judges maps of mosaics instead of the pictures themselves."""
        return "cell" in self.metric.needs

    @property
    def needs_object(self) -> bool:
        """Whether it judges by where the object is."""
        return any(name in self.metric.needs for name in OBJECT)

    def fits(self, has_object: bool, source: Source) -> bool:
        """Return whether picture and source have what it judges by."""
        computed = set() if source.computed else {"explain", "raw", "randomised"} - self.metric.optional
        return not computed & set(self.metric.needs) and (has_object or not self.needs_object)


def judge(each: Named, get: Callable[[str], Metric]) -> Judge:
    """Return the metric of that name with its options checked. Raises: UsageError: no such metric or option."""
    metric = get(each.name)
    return Judge(each.label, metric, metric.check(each.options), _origin(each.name, metric))


def _origin(name: str, metric: Metric) -> str:
    offer = plugins.offers(plugins.METRICS).get(name)
    return f"SHA-256 {code_digest(metric.judge)}" if offer is None else offer.origin


@dataclass(frozen=True)
class Opened:
    """A picture that was read: as the model sees it, what is explained, and where its object is."""

    subject: Subject
    target: int | str | None
    """The class explained, or the text of what is; None where that has none."""
    label: str
    probability: float
    given: Mapping[str, Any]
    """What metrics may judge by, all but the maps."""
    boxed: bool = False
    """Whether the mask was drawn of the boxes, for metrics that take no boxes."""

    @property
    def has_object(self) -> bool:
        """Whether a mask or boxes tell where the object is."""
        return self.given["mask"] is not None


@dataclass(frozen=True)
class Conditions:
    """What a picture is judged under: the seed of metrics that draw, rows a batch, the cell of a mosaic."""

    seed: int
    batch_size: int
    cell: int | None = None
    within: bool = False
    """Whether a mask counts within the boxes alone: it is of all objects, and one of them is explained."""
    background: Background | None = None
    """Of rows of a table: those that columns are exchanged for."""


def opened(model: Model, item: Item, target: TargetSource, conditions: Conditions) -> Opened:
    """Return a picture ready to be judged.

    Args: model: is opened for the picture, as explain does it. target: what to explain, None for the predicted class.
    Raises: ImageError: the picture, its mask or its boxes cannot be used.
    """
    model, prepared = _fitted(model, item)
    numbers = model.numbers(prepared)
    goal = resolve_target(model, target, numbers, prepared)
    asked = goal.target if target is None else target
    frame = None if prepared.seen is None else prepared.seen.frame
    again = model.task.again(goal, asked, frame)
    clean, rows, at = Clean(model, prepared.x, numbers), conditions.batch_size, conditions.cell
    subject = Subject(prepared, item.name, asked, model, again, clean)
    probability, logit = (scorer_of(model, goal, model.task.kind(kind), rows) for kind in ("probability", "logit"))
    plane = Plane(prepared.x.shape)
    given = {
        "score": plane.scoring(probability), "logit": plane.scoring(logit), "x": plane.flat(prepared.x),
        "baseline": plane.flat(spread(model.black(), prepared.x.shape)), "seed": conditions.seed,
        "region": _region(model, goal), "cell": None if at is None else cell(at, model.image_size),
    }  # fmt: skip
    if conditions.background is not None:
        given |= given_of(model, prepared, goal, conditions.background.values)
    place, boxed = _object(model, item.of(goal.target), prepared, within=conditions.within)
    told = goal.target if isinstance(goal.target, int | str) else None
    shown = model.task.shown(goal, numbers)[0] if "probability" in model.task.kinds else math.nan
    return Opened(subject, told, goal.label, shown, given | place, boxed)


def _fitted(model: Model, item: Item) -> tuple[Model, Sample]:
    """A thing and the model opened for it; an array of another shape is that one's fault, and ends nothing else."""
    try:
        found = model.fitter(model, item.source)
        return found.model, found.sample
    except UsageError as error:
        if model.takes_images:
            raise
        raise ImageError(str(error)) from None


def _region(model: Model, goal: Target) -> NDArray[np.bool_] | None:
    """Return where a target's score is taken, at the model's input: each pixel as the position that it lies on."""
    positions = model.task.where(goal) if model.takes_images else None
    if positions is None:
        return None
    return placed_in(model, Frame.whole(model.size)).onto(positions, model.image_size)


def _object(model: Model, item: Item, prepared: Sample, *, within: bool) -> tuple[dict[str, Any], bool]:
    if not model.takes_images:
        return {"mask": None, "boxes": None}, False
    photo = prepared.image().photo.shape[1], prepared.image().photo.shape[0]
    at = placement(photo, model.image_size, model.preprocess)
    boxes, mask = moved_boxes(item, at), moved_mask(item, at)
    turned = moved_outlines(item, at)
    if within and mask is not None:
        inside = turned if turned is not None or boxes is None else boxes_mask(boxes, model.image_size)
        mask = mask & inside if inside is not None else None
        mask = mask if mask is not None and mask.any() else None
        return {"mask": mask, "boxes": boxes}, False
    if mask is not None or boxes is None:
        return {"mask": mask, "boxes": boxes}, False
    if turned is not None:  # least upright boxes hold more than the object
        return {"mask": turned, "boxes": boxes}, False
    drawn = boxes_mask(boxes, model.image_size)
    return {"mask": drawn, "boxes": boxes}, bool(drawn.any())


Made = Sequence[tuple[Source, Found]]


def _taken(own: Maps | None, plane: Plane) -> Maps | None:
    return None if own is None else plane.mapping(own)


def _flat(values: Floats | None, plane: Plane) -> Floats | None:
    return None if values is None else plane.flat(values)


_PER_MAP: Mapping[str, Callable[[Source, Found, Subject, Plane], Any]] = {
    "saliency": lambda source, found, subject, plane: plane.flat(found.saliency),
    "raw": lambda source, found, subject, plane: _flat(found.raw, plane),
    "explain": lambda source, found, subject, plane: _taken(source.maps(subject), plane),
    "randomised": lambda source, found, subject, plane: _flat(source.randomised(subject), plane),
}


def verdicts(each: Judge, opened: Opened, made: Made) -> list[Any]:
    """Return a metric's Judgement of every map, in order; what one map lacks, the others are still judged by."""
    known = [_of_map(each, opened, source, found) for source, found in made]
    judged: list[Any] = [None] * len(made)
    for names in dict.fromkeys(tuple(one) for one in known):
        alike = [at for at, one in enumerate(known) if tuple(one) == names]
        for at, judgement in zip(alike, _asked(each, opened, [known[at] for at in alike]), strict=True):
            judged[at] = judgement
    return judged


def _of_map(each: Judge, opened: Opened, source: Source, found: Found) -> dict[str, Any]:
    """What a metric may judge one map by: where it is optional and not there, it is no key."""
    subject, needs = opened.subject, each.metric.needs
    plane = Plane(subject.prepared.x.shape)
    values = {name: get(source, found, subject, plane) for name, get in _PER_MAP.items() if name in needs}
    return {name: value for name, value in values.items() if value is not None}


def _asked(each: Judge, opened: Opened, maps: Sequence[Mapping[str, Any]]) -> list[Any]:
    given = {name: opened.given[name] for name in each.metric.needs if name in opened.given}
    own, to = opened.subject.prepared.baselines, each.options.get("to")
    if "baseline" in given and isinstance(to, str) and to in own:
        given["baseline"] = Plane(opened.subject.prepared.x.shape).flat(own[to])
    elif "baseline" in given and to in OF_TEXTS:
        known = ", ".join(own) or "none"
        raise UsageError(f"metric {each.label!r}: to={to} is a token of texts; {opened.subject.name!r} has {known}")
    if opened.boxed and {"mask", "boxes"} <= given.keys():
        given["mask"] = None  # or the metric would say that a mask told it
    for name in maps[0]:
        values = [one[name] for one in maps]
        given[name] = np.stack(values) if name in ("saliency", "randomised") else values
    model = opened.subject.model
    with speaking(nouns_of(model.modality.name, model.anatomy.entry.spatial)):
        found = each.metric(**given, **each.options)
    if not isinstance(found, list) or len(found) != len(maps):
        raise UsageError(f"metric {each.label!r} gave {type(found).__name__} for {len(maps)} maps, not one value a map")
    return found
