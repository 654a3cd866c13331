"""Do two detectors find the same objects, and by the same pixels? Detections matched by label and IoU, map by map."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnxsal.errors import ImageError, UsageError
from onnxsal.evaluation.statistics import means
from onnxsal.experiments.classes import same_class
from onnxsal.experiments.diff import How, Pair, agreements, nothing_left, prepared, settings_of
from onnxsal.experiments.statistics import Estimate, share
from onnxsal.explanation import Explanation
from onnxsal.explanation.request import Request
from onnxsal.explanation.run import explain_image
from onnxsal.explanation.target import resolve_target
from onnxsal.model import Model
from onnxsal.model.fitted import Fitted
from onnxsal.tasks.detection import Box, BoxPrediction
from onnxsal.tasks.detection.box import number
from onnxsal.tasks.detection.overlap import iou
from onnxsal.viz.colour import Pixels

LEAST = 0.5
"""The IoU from which on two detections of a label are one object."""

Numbers = Mapping[int, int | None]
"""The second model's class of each of the first's; None where it has none of that name."""


@dataclass(frozen=True)
class Lone:
    """A detection of one model that the other has not.

    Attributes: there: the other model's score of the class at that box, of a candidate that overlaps it enough; NaN
        where it has none. comparable: whether the other model has the class.
    """

    found: BoxPrediction
    there: float
    comparable: bool = True


@dataclass(frozen=True)
class Twin:
    """A detection that both models have: as either sees it, their IoU, and both maps."""

    first: BoxPrediction
    second: BoxPrediction
    overlap: float
    maps: Pair

    @property
    def change(self) -> float:
        """How much surer the second model is."""
        return self.second.probability - self.first.probability


@dataclass(frozen=True)
class Compared:
    """A picture under two detectors: what both find, what the first or the second finds alone."""

    image: str
    photo: Pixels = field(repr=False)
    both: tuple[Twin, ...]
    first: tuple[Lone, ...]
    second: tuple[Lone, ...]

    @property
    def order(self) -> tuple[int, float]:
        """Where pictures differ most: by detections that one has alone, then by their maps' lowest cosine."""
        cosines = [-2.0 if math.isnan(each.maps.cosine) else each.maps.cosine for each in self.both]
        return -len(self.first) - len(self.second), min(cosines, default=1.0)


@dataclass(frozen=True)
class DetectorDrift:
    """What a comparison of two detectors found: pictures that differ most first, what could not be read, settings."""

    pictures: tuple[Compared, ...]
    failures: tuple[tuple[str, str], ...]
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def twins(self) -> list[Twin]:
        """What both find, on all pictures."""
        return [each for picture in self.pictures for each in picture.both]

    def count(self, name: str) -> int:
        """Return how many detections are of ``both``, of the ``first`` alone or of the ``second``."""
        return sum(len(getattr(picture, name)) for picture in self.pictures)

    def agreement(self, name: str) -> Estimate:
        """Return the mean of an agreement of maps over what both find, its interval over pictures."""
        return self._mean(lambda twin: float(getattr(twin.maps, name)), (-1, 1))

    @property
    def change(self) -> Estimate:
        """The mean change of the score, second minus first."""
        return self._mean(lambda twin: twin.change, (-1, 1))

    @property
    def overlap(self) -> Estimate:
        """The mean IoU of the two boxes."""
        return self._mean(lambda twin: twin.overlap, (0, 1))

    @property
    def shared(self) -> Estimate:
        """The share of all objects that both find."""
        counts = [self.count(name) for name in ("both", "first", "second")]
        return share(counts[0], sum(counts))

    def _mean(self, value: Callable[[Twin], float], ends: tuple[float, float]) -> Estimate:
        named = {f"{p.image} #{k}": (p.image, value(t)) for p in self.pictures for k, t in enumerate(p.both)}
        owners = {name: image for name, (image, _) in named.items()}
        found = means({"": {name: number for name, (_, number) in named.items()}}, ends, owners=owners)[""]
        return Estimate(found.value, found.low, found.high, found.n)


def compare_detectors(
    models: tuple[Model, Model],
    images: Sequence[str],
    how: How,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> DetectorDrift:
    """Return how two detectors agree on pictures; one that cannot be read is named and left out.

    Both maps of an object are of either model's own detection of it. ``how.target`` is None or ``all`` for every
    detection, a label for its detections, ``#k`` for the first model's k-th and what the second sees there.
    Raises: UsageError: one is no detector, their classes cannot be told to be the same, the target is something else.
    """
    classes, notes = _classes(models)
    wanted = _wanted(models[0], how.target)
    requests = prepared(models, how)
    found, failures = list[Compared](), list[tuple[str, ImageError | UsageError]]()
    for at, image in enumerate(images):
        try:
            found.append(_compared(requests, image, classes, wanted))
        except ImageError as error:
            failures.append((image, error))
        if progress is not None:
            progress(at + 1, len(images))
    if not found:
        nothing_left([error for _, error in failures])
    settings = {**settings_of(models, requests, how), "iou": LEAST, "target": wanted or "all"}
    left_out = tuple((image, str(error)) for image, error in failures)
    return DetectorDrift(tuple(sorted(found, key=lambda each: each.order)), left_out, settings, notes)


def _wanted(model: Model, target: Any) -> str | int | None:
    """Return None for every detection, a class, or the ``#k`` that is asked for."""
    if target is None or model.task.is_several(target, model.labels):
        return None
    if isinstance(target, str) and number(target) is not None:
        return target.strip()
    if isinstance(target, int | str) and "@" not in str(target):
        index = resolve_target(model, target, {}).target
        if isinstance(index, int):
            return index
    raise UsageError(f"target={target!r}: two detectors are compared by all that they find, by a label, or by '#k'")


def _classes(models: tuple[Model, Model]) -> tuple[Numbers, tuple[str, ...]]:
    """Return which class is which, by name; by number where not both have names, which is said."""
    for model, other in (models, models[::-1]):
        if not model.task.has_boxes:
            raise UsageError(
                f"{other.name} is a detector, and {model.name} is taken for {model.task.name}: a detector is compared "
                "with a detector"
            )
    first, second = models[0].labels, models[1].labels
    counts = [model.task.labelled or len(model.labels or ()) for model in models]
    if first is None or second is None:
        if counts[0] != counts[1] or not counts[0]:
            raise UsageError(
                f"{models[0].name} has {counts[0]} classes and {models[1].name} {counts[1]}: to know which are the "
                "same, both need labels (--labels, --labels-b)"
            )
        return {k: k for k in range(counts[0])}, ("not both models name their classes: they are matched by number",)
    found = {k: same_class(k, first, second) for k in range(len(first))}
    if all(index is None for index in found.values()):
        raise UsageError(
            f"no class of {models[0].name} ({_few(first.names)}) is called as one of {models[1].name} "
            f"({_few(second.names)})"
        )
    alone = [first.short(k) for k, index in found.items() if index is None]
    others = [second.short(k) for k in range(len(second)) if k not in set(found.values())]
    notes = (f"the second model has no class {_few(alone)}",) if alone else ()
    return found, (*notes, *((f"the first model has no class {_few(others)}",) if others else ()))


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _compared(requests: tuple[Request, Request], image: str, classes: Numbers, wanted: str | int | None) -> Compared:
    fitted: tuple[Fitted, Fitted] = tuple(r.model.fitter(r.model, image) for r in requests)
    samples = [each.sample for each in fitted]
    numbers = [each.model.outputs(sample.x) for each, sample in zip(fitted, samples, strict=True)]
    seen = [
        [p for p in each.model.seen(sample, values) if isinstance(p, BoxPrediction)]
        for each, sample, values in zip(fitted, samples, numbers, strict=True)
    ]
    pairs = _pairs(seen[0], seen[1], classes)
    of_pair = {0: {a for a, _, _ in pairs}, 1: {b for _, b, _ in pairs}}
    back = {b: a for a, b in classes.items() if b is not None}
    lone: list[list[Lone]] = [
        [
            _lone(p, fitted[1 - side].model, (samples[1 - side], numbers[1 - side]), (classes, back)[side].get(p.index))
            for at, p in enumerate(seen[side]) if at not in of_pair[side]
        ]
        for side in (0, 1)
    ]  # fmt: skip
    if isinstance(wanted, int):
        pairs = [pair for pair in pairs if seen[0][pair[0]].index == wanted]
        kinds = (wanted, classes.get(wanted))
        lone = [[each for each in lone[side] if each.found.index == kinds[side]] for side in (0, 1)]
    elif wanted is not None:
        pairs = [pair for pair in pairs if seen[0][pair[0]].number == number(wanted)]
        lone = [[each for each in lone[0] if each.found.number == number(wanted)], []]
    maps = _maps(requests, image, [(seen[0][a], seen[1][b]) for a, b, _ in pairs])
    both = tuple(Twin(seen[0][a], seen[1][b], over, pair) for (a, b, over), pair in zip(pairs, maps, strict=True))
    photo = np.asarray(samples[0].image().photo)
    return Compared(image, photo, both, tuple(lone[0]), tuple(lone[1]))


def _pairs(
    first: Sequence[BoxPrediction], second: Sequence[BoxPrediction], classes: Numbers
) -> list[tuple[int, int, float]]:
    """Return the places of what is one object and their IoU: the highest first, each once, alike from either side."""
    if not first or not second:
        return []
    overlaps = iou(np.array([p.box for p in first])[:, None], np.array([p.box for p in second])[None])
    known = [
        (float(overlaps[a, b]), a, b)
        for a, one in enumerate(first) for b, other in enumerate(second)
        if overlaps[a, b] >= LEAST and classes.get(one.index) == other.index
    ]  # fmt: skip
    found, taken = list[tuple[int, int, float]](), (set[int](), set[int]())
    for over, a, b in sorted(known, key=lambda each: -each[0]):
        if a not in taken[0] and b not in taken[1]:
            found.append((a, b, over))
            taken[0].add(a)
            taken[1].add(b)
    return sorted(found)


def _lone(found: BoxPrediction, other: Model, seen: tuple[Any, Any], index: int | None) -> Lone:
    """Return a detection with what the other model's best candidate of that class has there."""
    if index is None:
        return Lone(found, math.nan, comparable=False)
    sample, numbers = seen
    try:
        about = resolve_target(other, Box(index, found.box), numbers, sample).about["detection"]
    except UsageError:  # nothing overlaps it, or it lies where the other model does not look
        return Lone(found, math.nan)
    over = float(iou(np.array([about["box"]]), np.array([found.box]))[0])
    return Lone(found, float(about["score"]) if over >= LEAST else math.nan)


def _maps(
    requests: tuple[Request, Request], image: str, twins: Sequence[tuple[BoxPrediction, BoxPrediction]]
) -> list[Pair]:
    if not twins:
        return []
    made: list[list[Explanation]] = [
        explain_image(request, image, [f"#{twin[side].number}" for twin in twins])
        for side, request in enumerate(requests)
    ]
    return [
        Pair(image, a, b, ((one.label, one.probability), (other.label, other.probability)), True, *agreements(a, b))
        for a, b, (one, other) in zip(*made, twins, strict=True)
    ]


def says(drift: DetectorDrift) -> list[str]:
    """Return what a comparison found, in sentences."""
    both, first, second = (drift.count(name) for name in ("both", "first", "second"))
    pictures = len(drift.pictures)
    lines = [
        f"on {pictures} picture{'s' if pictures > 1 else ''} both find {both} objects (IoU {LEAST}, same label), the "
        f"first alone {first}, the second alone {second}: {drift.shared} are found by both"
    ]
    if both:
        lines += [
            f"of what both find the score changes by {drift.change}, the boxes' IoU is {drift.overlap}",
            f"maps agree by a cosine of {drift.agreement('cosine')}, SSIM {drift.agreement('ssim')}, rank correlation "
            f"{drift.agreement('rank')}",
        ]
    flat = sum(math.isnan(twin.maps.cosine) for twin in drift.twins)
    return [
        *lines,
        *([f"of {flat} objects a map is flat; cosine and rank are of the others"] if flat else []),
        *drift.notes,
    ]


__all__ = ["LEAST", "Compared", "DetectorDrift", "Lone", "Twin", "compare_detectors", "says"]
