"""A run over many pictures: what is known already is taken from the journal, the rest is judged and written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, ModelError, NotSeenError
from onnxsal.evaluation.class_names import Classes
from onnxsal.evaluation.detected import Chosen, OnPicture, held_against, look, object_of
from onnxsal.evaluation.items import Item
from onnxsal.evaluation.journal import Journal, key
from onnxsal.evaluation.judge import Conditions, Judge, Made, Opened, opened, verdicts
from onnxsal.evaluation.placement import check_boxes
from onnxsal.evaluation.planes import Plane
from onnxsal.evaluation.remaining_time import Pace
from onnxsal.evaluation.rows import Failure, Row, from_plain, named
from onnxsal.evaluation.sources import Found, Source, file_identity
from onnxsal.evaluation.thumbnails import image_jpeg, map_png
from onnxsal.evaluation.together import Together
from onnxsal.explanation.identity import model_identity
from onnxsal.explanation.shapley.background import Background
from onnxsal.explanation.target import TargetSource
from onnxsal.fingerprint import fingerprint
from onnxsal.modalities.registry import Seen
from onnxsal.model import Model
from onnxsal.viz.boxes import boxed_in_view

APART = 300
"""Methods of more images a map than this are judged on their own, so that an interruption costs one map at most."""

WITHOUT = "without"
"""Entries that stand where a row would, had anything told where the object is: a map is not made again to find out."""

LISTED_DETAILS = 1024
"""Numbers of an array among a metric's details that are written down; of a larger one the hash."""

Report = Callable[[Pace], None]


@dataclass(frozen=True)
class Setup:
    """Everything that a run depends on but the pictures."""

    model: Model
    sources: tuple[Source, ...]
    judges: tuple[Judge, ...]
    seed: int = 0
    batch_size: int = 8
    stages: int = 5
    """Of drawing the model's weights anew, for metrics that ask for it."""
    known_only: bool = False
    """Whether only the journal is read, and nothing is judged."""
    classes: Classes | None = None
    """Of a detector: what annotations call its classes; None where there are none."""
    background: Background | None = None
    """Of rows of a table: those that columns are exchanged for."""

    def identity(self) -> Any:
        """Return what every result depends on."""
        of_rows = [] if self.background is None else [self.background.about()]
        return [*model_identity(self.model), *of_rows]


@dataclass(frozen=True)
class Job:
    """A picture, and what of it to explain (None for the predicted class); of a mosaic also which cell shows it."""

    item: Item
    target: TargetSource
    truth: int | None = None
    cell: int | None = None
    detection: Chosen | None = None
    """Of a detector what is explained."""

    @property
    def name(self) -> str:
        """How results call what is judged: a picture, or one of its detections."""
        return self.item.name if self.detection is None else named(self.item.name, self.detection.number)


@dataclass
class Gathered:
    """What a run has so far."""

    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    without: dict[str, set[str]] = field(default_factory=dict)
    """Pictures that a metric leaves out because nothing tells where their object is, by the metric's name."""
    reused: int = 0
    pictures: list[OnPicture] = field(default_factory=list)
    """What a detector finds on each."""


def judge_all(setup: Setup, jobs: Sequence[Job], journal: Journal, report: Report | None = None) -> Gathered:
    """Return the rows of all pictures; a picture or map that cannot be judged is a failure, and the rest goes on.

    Raises: OutputError: the journal cannot be written. UsageError, UnsupportedError: what would fail on every picture.
    """
    gathered, pace = Gathered(), Pace(len(jobs))
    for job in jobs:
        if report is not None:
            report(pace.now(job.item.name))
        before, each = len(gathered.rows), _each(setup, job, journal, gathered)
        together = Together([one.target for one in each])
        fresh = sum(_judge_one(setup, one, journal, gathered, (together, at)) for at, one in enumerate(each))
        gathered.reused += len(gathered.rows) - before - fresh
        pace.step(worked=fresh > 0)
    if report is not None:
        report(pace.now(""))
    return gathered


def _each(setup: Setup, job: Job, journal: Journal, gathered: Gathered) -> Sequence[Job]:
    """Return a job of every detection that a target means; the job itself of other models."""
    if not setup.model.task.has_boxes or job.cell is not None:
        return [job]
    try:
        name = key(setup.identity(), job.item.name, job.item.digest(), identity_of(job.target))
        entry = journal.get("detections", name)
        if entry is None:
            if setup.known_only:
                return []
            entry = look(setup.model, job.item.source, job.target)
            journal.add("detections", name, entry)
        width, height = entry["photo"]
        check_boxes(job.item, (width, height))
    except (ImageError, ModelError) as error:
        gathered.failures.append(Failure(job.item.name, None, str(error)))
        return []
    found = held_against(entry, job.item, job.target, setup.model, setup.classes)
    gathered.pictures.append(found)
    if found.why:
        gathered.failures.append(Failure(job.item.name, None, found.why))
    return [
        replace(job, target=each.target, detection=each, item=object_of(job.item, each, entry["photo"]))
        for each in found.chosen
    ]


def _judge_one(setup: Setup, job: Job, journal: Journal, gathered: Gathered, among: tuple[Together, int]) -> int:
    """Add a picture's rows; return how many of them are new."""
    work, fresh = None, 0
    try:
        work = _Work(setup, job, journal, gathered, among)
        fresh = work.run()
    except (ImageError, ModelError, NotSeenError) as error:
        gathered.failures.append(Failure(job.name, None, str(error)))
    if work is not None:
        work.collect()
    return fresh


class _Work:
    """One picture's part of a run, or of a picture one detection's: ``among`` those of it, and its place there."""

    def __init__(
        self, setup: Setup, job: Job, journal: Journal, gathered: Gathered, among: tuple[Together, int]
    ) -> None:
        self.setup, self.job, self.journal, self.gathered = setup, job, journal, gathered
        self._among, digest = among, job.item.digest()
        self._base = [*setup.identity(), job.item.name, digest, identity_of(job.target), job.truth, job.cell]
        self._object = _object_identity(job.item)
        self._opened: Opened | None = None
        self._keys: dict[str, str] = {}

    def run(self) -> int:
        """Judge what the journal does not have; return how many rows that were."""
        fresh = 0
        for group in _groups(self.setup.sources):
            pending = {source.label: self._pending(source) for source in group}
            if not self.setup.known_only:
                fresh += self._judge([source for source in group if pending[source.label]], pending)
        return fresh

    def _pending(self, source: Source) -> list[Judge]:
        fitting = (judge for judge in self.setup.judges if self._fits(judge, source))
        keys = {judge.label: self._row_key(source, judge) for judge in fitting}
        known = {label for label, name in keys.items() for kind in ("row", WITHOUT) if (kind, name) in self.journal}
        return [judge for judge in self.setup.judges if judge.label in keys.keys() - known]

    def _fits(self, judge: Judge, source: Source) -> bool:
        item, is_mosaic = self.job.item, self.job.cell is not None
        claims = item.boxes is not None or item.mask is not None
        return judge.on_mosaics == is_mosaic and judge.fits(claims, source) and (source.computed or not is_mosaic)

    def _map_key(self, source: Source) -> str:
        """Return what a map is called; worked out once a picture, for all of its rows."""
        if source.label not in self._keys:
            self._keys[source.label] = key(self._base, source.identity(), file_identity(source, self.job.item.name))
        return self._keys[source.label]

    def _row_key(self, source: Source, judge: Judge) -> str:
        place = self._object if judge.needs_object else None
        stages = [self.setup.stages] if "randomised" in judge.metric.needs else []
        return key(self._map_key(source), source.label, judge.label, judge.metric.name, judge.origin, judge.options,
                   place, self.setup.seed, *stages)  # fmt: skip

    def _judge(self, group: Sequence[Source], pending: dict[str, list[Judge]]) -> int:
        made = [(source, found) for source in group for found in self._made(source)]
        fresh = 0
        for judge in self.setup.judges:
            asked = [(source, found) for source, found in made if judge in pending[source.label]]
            fresh += self._ask(judge, asked)
        return fresh

    def _open(self) -> Opened:
        if self._opened is None:
            setup, job = self.setup, self.job
            conditions = Conditions(setup.seed, setup.batch_size, job.cell, job.detection is not None, setup.background)
            self._opened = opened(setup.model, job.item, job.target, conditions)
            prepared = self._opened.subject.prepared
            if prepared.is_drawn:
                self.journal.add("picture", key(self._base), image_jpeg(self._shown(prepared.canvas())))
        return self._opened

    def _shown(self, seen: Seen) -> NDArray[np.uint8]:
        """The picture as the model saw it, with the box of the detection that is judged."""
        found = self.job.detection
        return seen.image if found is None else boxed_in_view(seen.image, found.box, seen.box)

    def _made(self, source: Source) -> Iterator[Found]:
        """The map, or nothing and a failure."""
        opened = self._open()
        try:
            together, at = self._among
            found = together.map(source, opened.subject, at)
        except (ImageError, ModelError, NotSeenError) as error:
            self.gathered.failures.append(Failure(self.job.name, source.label, str(error)))
            return
        self.journal.add("map", self._map_key(source), map_png(_plane(opened, found)) | {"picture": key(self._base)})
        yield found

    def _ask(self, judge: Judge, made: Made) -> int:
        opened = self._open() if made else None
        if opened is None:
            return 0
        if judge.needs_object and not opened.has_object:
            for source, _ in made:
                about = {"image": self.job.item.name, "method": source.label, "metric": judge.label}
                self.journal.add(WITHOUT, self._row_key(source, judge), about)
            return 0
        try:
            judgements = verdicts(judge, opened, made)
        except (ImageError, ModelError, NotSeenError) as error:
            self._failed(made, f"{judge.label}: {error}")
            return 0
        for (source, found), judgement in zip(made, judgements, strict=True):
            row = self._row(source, found, judge, judgement)
            self.journal.add("row", self._row_key(source, judge), row.plain())
        return len(made)

    def _failed(self, made: Made, message: str) -> None:
        name = self.job.name
        self.gathered.failures += [Failure(name, source.label, message) for source, _ in made]

    def _row(self, source: Source, found: Found, judge: Judge, judgement: Any) -> Row:
        opened = self._open()
        curve = None if judgement.curve is None else [[round(float(v), 7) for v in p] for p in judgement.curve]
        return Row(
            image=self.job.item.name, target=opened.target, label=opened.label, truth=self.job.truth,
            probability=opened.probability, method=source.label, metric=judge.label, value=float(judgement.value),
            parameters=fingerprint(judgement.parameters), details=fingerprint(judgement.details, listed=LISTED_DETAILS),
            curve=curve, seconds=found.seconds, forwards=found.forwards, backwards=found.backwards,
            map_key=self._map_key(source),
        )  # fmt: skip

    def collect(self) -> None:
        """Add what the journal has of this picture, in the order of the methods."""
        for source in self.setup.sources:
            for judge in self.setup.judges:
                if not self._fits(judge, source):
                    continue
                name = self._row_key(source, judge)
                if (WITHOUT, name) in self.journal:
                    self.gathered.without.setdefault(judge.label, set()).add(self.job.name)
                entry = self.journal.get("row", name)
                if entry is not None:
                    row = from_plain(entry)
                    self.gathered.rows.append(self._labelled(row))

    def _labelled(self, row: Row) -> Row:
        """Return a row with the label that its class has now, of a detection with the true box that it is on now."""
        if self.job.detection is not None:
            return replace(row, label=self.job.detection.label, detection=self.job.detection.plain())
        if not isinstance(row.target, int) or self.job.target not in (None, row.target):
            return row
        return replace(row, label=self.setup.model.label(row.target))


def _plane(opened: Opened, found: Found) -> Any:
    return Plane(opened.subject.prepared.x.shape).flat(found.saliency)


def identity_of(target: Any) -> Any:
    """Return a target as plain data that tells different ones apart, a vector or a mask in it too."""
    if isinstance(target, tuple):
        return [identity_of(each) for each in target]
    if not is_dataclass(target) or isinstance(target, type):
        return fingerprint(target)
    return [type(target).__name__, {each.name: fingerprint(getattr(target, each.name)) for each in fields(target)}]


def _groups(sources: Sequence[Source]) -> list[list[Source]]:
    cheap = [source for source in sources if source.cost <= APART]
    return [*([cheap] if cheap else []), *([source] for source in sources if source.cost > APART)]


def _object_identity(item: Item) -> Any:
    boxes: Any = item.boxes if item.classes is None else [item.boxes, item.classes]
    boxes = ["shares", boxes] if item.shares else boxes
    boxes = [boxes, item.outlines] if item.outlines else boxes
    if item.mask is None:
        return boxes
    return [boxes, Item(item.mask, item.name).digest()]
