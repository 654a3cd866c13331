"""``onnxsal.evaluate``: methods and metrics over many pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, get_type_hints

from onnxsal._version import __version__
from onnxsal.errors import ImageError, ModelError, UsageError, nearest
from onnxsal.evaluation.annotations import of_classes, with_boxes
from onnxsal.evaluation.arrays import check_places, judging
from onnxsal.evaluation.class_names import classes_of
from onnxsal.evaluation.columns import about, explained_rows, judged_against, of_rows, opened_for_rows
from onnxsal.evaluation.detections import summed
from onnxsal.evaluation.evaluation import Evaluation
from onnxsal.evaluation.items import Item, gather
from onnxsal.evaluation.journal import Journal, key
from onnxsal.evaluation.judge import Judge, judge
from onnxsal.evaluation.mosaics import Seen, grouped, mosaic
from onnxsal.evaluation.named import Source as NameSource
from onnxsal.evaluation.named import named
from onnxsal.evaluation.placement import with_masks
from onnxsal.evaluation.remaining_time import Pace
from onnxsal.evaluation.rows import About, Failure
from onnxsal.evaluation.run import Gathered, Job, Report, Setup, identity_of, judge_all
from onnxsal.evaluation.sources import Making, sources
from onnxsal.evaluation.truth import Truth, resolved, with_truth
from onnxsal.explanation.method_plan import Common
from onnxsal.explanation.target import TargetSource, as_pair, looked_at, opened_for
from onnxsal.fingerprint import fingerprint
from onnxsal.metrics.registry import get
from onnxsal.modalities.image import PreprocessSource
from onnxsal.model import Model
from onnxsal.model.batch_check import found_of
from onnxsal.model.load import load
from onnxsal.options import Range, Samples, parameter
from onnxsal.tasks.detection.box import place_of

Names = NameSource | Iterable[NameSource]

_UNCHECKED = ("truth", "target", "boxes", "masks", "maps", "layer", "preprocess", "journal", "progress",
              "background")  # fmt: skip
"""Options of types that text cannot stand for; each is checked where it is used."""


@dataclass(frozen=True)
class Options:
    """What ``evaluate`` takes beside pictures, methods and metrics.

    Attributes:
        truth: what the pictures show: ``names``, ``folders``, a file, or a mapping; see ``with_truth``.
        boxes, masks: where the objects are: files as ``with_boxes`` and ``with_masks`` read them.
        maps: folders of maps made elsewhere, ``.npy`` named like the pictures.
        target: explain the class that is ``predicted``, or the picture's ``label``; or one that ``explain`` takes, the
            same for all pictures: a class, what they are to be like, an element. Of a detector that is the best
            detection, a label's best, ``#k``, ``all``, each of them, or a box.
        label_offset: added to labels that are numbers; by default 1 where class 0 is the background, else 0.
        journal: a file that keeps results at once, and from which an interrupted run goes on.
        confidence: how sure a picture's class has to be for a mosaic. mosaics: how many at most.
        stages: of drawing the model's weights anew.
        known_only: take what the journal has and judge nothing: what there is of a run that is under way.
        background: of rows of a table, those that columns are exchanged for, by metrics and methods alike; by default
            the rows that are judged.
    """

    truth: Truth | None = None
    boxes: Any = None
    masks: str | os.PathLike[str] | None = None
    maps: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None
    target: TargetSource = "predicted"
    label_offset: int | None = None
    layer: str | Sequence[str] | None = None
    score: Literal["logit", "probability", "match"] | None = None
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    preprocess: PreprocessSource | None = None
    batch_size: Samples = 8
    journal: str | os.PathLike[str] | None = None
    confidence: Annotated[float, Range(0, 1)] = 0.8
    mosaics: Samples | None = None
    stages: Samples = 5
    known_only: bool = False
    progress: Report | None = None
    background: Any = None
    common: Mapping[str, Any] = field(default_factory=dict)
    """Options that every method takes: ``sign``, ``percentile``, ``fuse``, ``forwards``, ``seconds``, ``tolerance``."""


def evaluate(
    model: Model | str | os.PathLike[str], images: Any, *, methods: Names = (), metrics: Names, **options: Any
) -> Evaluation:
    """Return how well methods explain a model on pictures: rows, one an image x method x metric, and their summary.

    A picture that cannot be read is left out and named in ``failures``; so is a map that cannot be made.

    Args:
        model: a Model, or the path of one.
        images: one or several of: a path, a folder, a pattern, a PIL picture, an array, an ``Item``; of models that
            take sequences or arrays, arrays and ``.npy`` files.
        methods: names, with options in brackets: ``["grad-cam++", "score-cam[preset=paper]"]``, or pairs of a name and
            a dict of options.
        metrics: the same for metrics.
        options: see ``onnxsal.evaluation.Options``.
    Raises: UsageError: an argument is wrong, labels do not match. OutputError: the journal cannot be written.
    UnsupportedError: a method cannot serve this model.
    """
    given = checked(options)
    loaded = opened_for_rows(_loaded(model, given.preprocess), images)
    if given.target not in BY_PICTURE:
        given = replace(given, target=as_pair(loaded, given.target))
        loaded = opened_for(loaded, given.target)
    check_places(loaded, boxes=given.boxes, masks=given.masks)
    judges = _judges(metrics, loaded)
    jobs = _jobs(loaded, images, given)
    items = [job.item for job in jobs]
    background = judged_against(loaded, given.background, items)
    making = Making(
        given.layer, given.score, given.seed, given.stages, {"batch_size": given.batch_size, **given.common}
    )
    making = replace(making, of_rows=explained_rows(background, making))
    made = sources(loaded, named(methods, "method"), _folders(given.maps), making, items)
    classes = classes_of(loaded, items) if loaded.task.has_boxes and any(i.boxes is not None for i in items) else None
    setup = Setup(
        loaded, made, judges, given.seed, given.batch_size, given.stages, given.known_only, classes, background
    )
    _check_asked(setup, jobs)
    if loaded.task.has_boxes:
        _check_detector(setup, given.target)
    journal = Journal(given.journal)
    try:
        return _evaluated(setup, jobs, journal, given)
    finally:
        journal.close()


def checked(options: Mapping[str, Any]) -> Options:
    """Return options in their types. Raises: UsageError: unknown, of the wrong type, out of range."""
    hints = get_type_hints(Options, include_extras=True)
    common = {name: value for name, value in options.items() if name in _COMMON}
    own = {name: value for name, value in options.items() if name not in common}
    known = [each.name for each in fields(Options) if each.name != "common"]
    for name in own:
        if name not in known:
            raise UsageError(f"evaluate has no option {name!r}{nearest(name, [*known, *_COMMON])}")
        if name not in _UNCHECKED:
            own[name] = parameter(name, hints[name], None).convert(own[name])
    return Options(**own, common=common)


_COMMON = tuple(name for name in Common.__dataclass_fields__ if name not in ("progress", "batch_size", "keep_partial"))


def _loaded(model: Model | str | os.PathLike[str], preprocess: PreprocessSource | None) -> Model:
    if not isinstance(model, Model):
        return load(model, preprocess=preprocess)
    if preprocess is None:
        return model
    return model.preprocessed(preprocess)


def _judges(metrics: Names, model: Model) -> tuple[Judge, ...]:
    found = tuple(judging(judge(each, get), each.options, model) for each in named(metrics, "metric"))
    if not found:
        raise UsageError("nothing to judge by: name metrics")
    return found


def _check_asked(setup: Setup, jobs: Sequence[Job]) -> None:
    """Refuse metrics that could judge nothing here: a run without a row of theirs would not say why."""
    placed = setup.model.task.has_boxes
    placed = placed or any(job.item.boxes is not None or job.item.mask is not None for job in jobs)
    computed = any(source.computed for source in setup.sources)
    for each in setup.judges:
        if each.needs_object and not placed:
            raise UsageError(
                f"metric {each.label!r} asks where the object is, and nothing says it: give boxes or masks "
                "(--boxes, --masks)"
            )
        if "region" in each.metric.needs and not setup.model.task.has_regions:
            raise UsageError(
                f"metric {each.label!r} asks for the region that is explained, and the task "
                f"{setup.model.task.name!r} has none; where an object is known, energy-pointing and pointing-game judge"
            )
        if not computed and (each.on_mosaics or not any(each.fits(placed, source) for source in setup.sources)):
            raise UsageError(
                f"metric {each.label!r} needs maps of further pictures, and those made elsewhere are of these alone: "
                "name methods (-m)"
            )


_OF_CLASSES = {
    "cell": "asks for the class that a whole picture shows, and a detection has a place: energy-pointing asks for it",
    "randomised": "asks for the same detection by models that learnt nothing, which detect nothing",
}
"""What metrics need that a detector does not give, and why."""


def _check_detector(setup: Setup, target: TargetSource) -> None:
    """Refuse what has no answer for a detection, or none for a coordinate of its box."""
    side = place_of(target, setup.model.labels)
    for each in setup.judges:
        for need, why in _OF_CLASSES.items():
            if need in each.metric.needs:
                raise UsageError(f"metric {each.label!r} {why}")
        if side is not None and {"score", "logit"} & set(each.metric.needs):
            raise UsageError(
                f"metric {each.label!r} follows a score, and {target!r} is a coordinate in pixels, of which neither "
                f"more nor less is better: ask for the detection without {side!r}"
            )


def _folders(maps: Any) -> list[Any]:
    from onnxsal.evaluation.named import Named

    several = [maps] if isinstance(maps, str | os.PathLike) else list(maps or ())
    return [Named(os.fspath(each)) for each in several]


def _jobs(model: Model, images: Any, given: Options) -> list[Job]:
    found = of_rows(model, gather(images, words=model.modality.name == "tokens"))
    items = with_truth(found, given.truth)
    items = with_boxes(items, given.boxes)
    items = with_masks(items if model.task.has_boxes else of_classes(items, model), given.masks)
    truth = resolved(items, model, given.label_offset)
    if given.target == "label" and None in truth:
        raise UsageError(
            "target=label explains the class that a picture shows, and nothing says it: give truth (--truth)"
        )
    targets = truth if given.target == "label" else [_for_all(model, given.target)] * len(truth)
    return [Job(*each) for each in zip(items, targets, truth, strict=True)]


BY_PICTURE = ("predicted", "label")
"""Targets that differ from picture to picture: what the model predicts, and what is shown."""


def _for_all(model: Model, target: TargetSource) -> TargetSource:
    """Return what is explained of all pictures; None is what the model predicts of each."""
    return None if target == "predicted" else looked_at(model, target)


def _evaluated(setup: Setup, jobs: Sequence[Job], journal: Journal, given: Options) -> Evaluation:
    on_images = [each for each in setup.judges if not each.on_mosaics]
    gathered = judge_all(setup, jobs, journal, given.progress) if on_images else Gathered()
    if len(on_images) < len(setup.judges):
        _add(gathered, _on_mosaics(setup, jobs, journal, given, bool(on_images)))
    return Evaluation(
        rows=tuple(gathered.rows), failures=tuple(dict.fromkeys(gathered.failures)), reused=gathered.reused,
        metrics=tuple(_about(each, setup.model, given.target) for each in setup.judges),
        settings=_settings(setup, jobs, given),
        left_out={name: len(items) for name, items in gathered.without.items()}, journal=journal,
        detections=summed(gathered.pictures, setup.classes, setup.model) if setup.model.task.has_boxes else None,
    )  # fmt: skip


def _about(judge: Judge, model: Model, target: TargetSource) -> About:
    """Return what is to know of a metric; of scores that are no probabilities, or differences, it has no ends."""
    about, probabilities = judge.about, "probability" in model.task.kinds and not isinstance(target, tuple)
    bounded = "score" not in judge.metric.needs or probabilities
    return about if bounded else replace(about, ends=(-math.inf, math.inf))


def _add(gathered: Gathered, more: Gathered) -> None:
    gathered.rows += more.rows
    gathered.failures += more.failures
    gathered.reused += more.reused


def _on_mosaics(setup: Setup, jobs: Sequence[Job], journal: Journal, given: Options, more: bool) -> Gathered:
    """Judge mosaics of the pictures that the model is sure of, each once for every class on it.

    Too few pictures for a mosaic end the run, unless there are ``more`` results that would be lost by it.
    """
    found = Gathered()
    seen = [each for job in jobs for each in _seen(setup, job, journal, found)]
    groups = grouped(seen, given.confidence)[: given.mosaics]
    if not groups:
        message = _no_mosaic(setup.model, len(seen), given.confidence)
        if not more:
            raise UsageError(message)
        found.failures.append(Failure("mosaics", None, message))
    cells = [job for group in groups for job in _cells(setup.model, group)]
    _add(found, judge_all(setup, cells, journal, given.progress))
    return found


def _no_mosaic(model: Model, seen: int, confidence: float) -> str:
    needs = f"a mosaic needs four pictures of four classes that the model is sure of (confidence {confidence})"
    if "probability" not in model.task.kinds:
        return f"{needs}, and nothing makes probabilities of {model.task.output!r} (--activation says what does)"
    return f"{needs}; of {seen} pictures too few are: lower confidence, or give more pictures"


def _seen(setup: Setup, job: Job, journal: Journal, gathered: Gathered) -> list[Seen]:
    try:
        name = key(setup.identity(), job.item.digest())
        entry = journal.get("seen", name)
        if entry is None:
            best = setup.model.predict(job.item.source, top=1)[0]
            journal.add("seen", name, {"target": best.index, "probability": best.probability})
            entry = {"target": best.index, "probability": best.probability}
    except (ImageError, ModelError) as error:
        gathered.failures.append(Failure(job.item.name, None, str(error)))
        return []
    return [Seen(job.item, int(entry["target"]), float(entry["probability"]))]


def _cells(model: Model, group: Sequence[Seen]) -> list[Job]:
    tiles = [model.fitter(model, each.item.source).sample.image().image for each in group]
    whole = mosaic(tiles, model.image_size)
    names = " + ".join(each.item.name for each in group)
    return [Job(Item(whole, f"{each.item.name} in {names}"), each.target, None, at) for at, each in enumerate(group)]


def _settings(setup: Setup, jobs: Sequence[Job], given: Options) -> dict[str, Any]:
    from onnxsal.runtime.environment import onnxruntime

    model = setup.model
    return {
        "model": model.name, "model_sha256": model.digest, "modality": model.modality.name, "pictures": len(jobs),
        "target": identity_of(given.target),
        "preprocess": None if model.preprocess is None else model.preprocess.described(),
        "methods": {source.label: source.identity() for source in setup.sources},
        "metrics": {each.label: fingerprint(each.options) for each in setup.judges}, "seed": given.seed,
        "confidence of mosaics": given.confidence if any(j.on_mosaics for j in setup.judges) else None,
        "provider": model.provider or "cpu", **about(setup.background),
        **({"batch": found[0]} if (found := found_of(model)) else {}),
        "versions": {"onnxsal": __version__, "onnxruntime": onnxruntime().__version__},
    }  # fmt: skip


__all__ = ["BY_PICTURE", "Options", "Pace", "evaluate"]
