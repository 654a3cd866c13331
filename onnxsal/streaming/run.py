"""Running a record: head, draws in batches, moments, tail; with limits, progress, errors and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError, UsageError
from onnxsal.graph import Program
from onnxsal.records import Moments, Record
from onnxsal.runtime import Session
from onnxsal.streaming.batches import Batch, batches
from onnxsal.streaming.finish import Finish, Tail, relative
from onnxsal.streaming.limits import Limits, Stopper
from onnxsal.streaming.moments import GROUPS, Accumulator
from onnxsal.streaming.plan import Plan, make_plan

Array = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """What is explained: the picture x [C, H, W], what else the programs take (``target``), the black of x [C]."""

    x: Floats
    feeds: Mapping[str, Array]
    black: Floats
    image: int = 0
    """The image's part of the noise counter."""


@dataclass(frozen=True)
class Settings:
    """How to run: sessions on demand, the name of the picture's input, seed, batch size, limits, who hears of it."""

    session: Callable[[Program], Session]
    x: str
    seed: int = 0
    batch_size: int = 8
    limits: Limits = field(default_factory=Limits)
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Streamed:
    """What came of it: the map, its standard error, numbers for the manifest, and what it cost."""

    saliency: Floats
    stderr: Floats | None
    numbers: Mapping[str, float]
    rows: int
    """Images that went through the innermost body."""
    heads: int
    """Images that went through heads, and baselines."""
    samples: int
    """Whole samples of every mask."""
    stopped: str | None = None
    """The limit that ended it, or None where all samples were drawn."""
    partial: bool = False
    """Whether it is less than what was asked for."""


@dataclass
class _Work:
    """What one run shares: made once, then filled batch by batch."""

    record: Record
    plan: Plan
    subject: Subject
    settings: Settings
    sums: Accumulator
    finish: Finish
    heads: int
    rows: int = 0
    draws: int = 0

    @property
    def samples(self) -> int:
        return self.draws // self.plan.per_sample


def stream(record: Record, subject: Subject, settings: Settings) -> Streamed:
    """Return the map of a record for one picture.

    Raises: ModelError: a run failed, or the scores are not finite. UnsupportedError: every map is flat.
    UsageError: a limit that this record cannot keep. KeyboardInterrupt: unless partial maps are wanted.
    """
    _check_limits(record, settings.limits)
    head = _run_head(record, subject, settings)
    work = _prepared(record, subject, settings, head)
    stopped = _accumulate(work)
    saliency, numbers = work.finish.map()
    stderr = work.finish.stderr()
    if stderr is not None:
        numbers = {**numbers, "relative_error": relative(stderr, saliency)}
    partial = work.draws < work.plan.total and stopped != "tolerance"
    return Streamed(
        saliency, stderr, {**numbers, **_reliability(work)}, work.rows, work.heads, work.samples,
        stopped, partial,
    )  # fmt: skip


def _check_limits(record: Record, limits: Limits) -> None:
    if limits.any and record.draws.weights is not None:
        raise UsageError("the steps of a path have to be run whole: set steps=..., not seconds, forwards or tolerance")
    if limits.tolerance is not None and not record.draws.sampled:
        raise UsageError("option tolerance is for methods that draw samples; this one is exact when it ends")


def _prepared(record: Record, subject: Subject, settings: Settings, head: Mapping[str, Array]) -> _Work:
    varied = subject.x if record.varies == "x" else np.ascontiguousarray(head[record.varies][0], np.float32)
    plan = make_plan(varied, record.draws, head, subject.black, (settings.seed, subject.image))
    sampled = record.draws.sampled
    sums = Accumulator(
        record.moments, masks=plan.per_sample, weights=record.draws.weights,
        groups=min(GROUPS, plan.samples) if sampled and _has_groups(record) else 1,
        squares=_needs_squares(record),
    )  # fmt: skip
    reference = _reference(record, plan, subject, settings)
    given = {**head, **reference, "x": plan.x[None], "baseline": plan.baseline[None]}
    finish = Finish(record, plan, sums, None if record.tail is None else Tail(settings.session(record.tail), given))
    heads = int(record.head is not None) + int(record.draws.reference)
    return _Work(record, plan, subject, settings, sums, finish, heads)


def _has_groups(record: Record) -> bool:
    return record.tail is not None or record.moments.shown != "mean" or record.moments.per == "mask"


def _needs_squares(record: Record) -> bool:
    if record.tail is None:
        return record.draws.sampled or record.moments.shown != "mean"
    return any(name.startswith(("square/", "variance/")) for name in record.tail.inputs)


def _run_head(record: Record, subject: Subject, settings: Settings) -> dict[str, Array]:
    if record.head is None:
        return {}
    return settings.session(record.head).run({settings.x: subject.x[None], **subject.feeds})


def _reference(record: Record, plan: Plan, subject: Subject, settings: Settings) -> dict[str, Array]:
    if not record.draws.reference or isinstance(record.body, Record):
        return {}
    feeds = {settings.x: plan.baseline[None], **subject.feeds}
    return {f"reference/{name}": value for name, value in settings.session(record.body).run(feeds).items()}


def _accumulate(work: _Work) -> str | None:
    """Run the draws until they are through or a limit is reached; return which."""
    limits = work.settings.limits
    stopper = Stopper(limits, work.finish.relative_error)
    evaluate = _nested if isinstance(work.record.body, Record) else _plain(work)
    size = 1 if isinstance(work.record.body, Record) else work.settings.batch_size
    total = _allowed(work)
    key = (work.settings.seed, work.subject.image)
    try:
        with closing(batches(work.plan, total, size, key)) as source:
            for batch in source:
                _take(work, batch, evaluate(work, batch))
                reason = stopper.reached(work.rows + work.heads, work.samples)
                if reason is not None and work.draws < work.plan.total:
                    return reason
    except KeyboardInterrupt:
        if not (limits.keep_partial and work.draws and work.record.draws.weights is None):
            raise
        return "interrupted"
    return None


def _allowed(work: _Work) -> int:
    """How many draws the limit of forwards leaves, exactly, so that the same limit gives the same map for any batch."""
    limit = work.settings.limits.forwards
    if limit is None:
        return work.plan.total
    if limit <= work.heads:
        raise UsageError(f"option forwards={limit}: at least {work.heads + 1}, of which {work.heads} prepare the draws")
    nested = isinstance(work.record.body, Record)
    return work.plan.total if nested else min(work.plan.total, limit - work.heads)


def _take(work: _Work, batch: Batch, outputs: Mapping[str, Array]) -> None:
    t = np.arange(batch.start, batch.start + len(batch.x))
    if work.record.moments.per == "weighted" and batch.masks is not None:
        outputs = _weighted(work.record.moments, outputs, batch.masks)
    work.sums.add(outputs, t // work.plan.per_sample, t % work.plan.per_sample)
    work.draws = int(t[-1]) + 1
    if work.settings.progress is not None:
        work.settings.progress(work.draws, work.plan.total)


def _weighted(moments: Moments, outputs: Mapping[str, Array], masks: Floats) -> dict[str, Array]:
    products = {name: outputs[name].reshape(-1, 1, 1) * masks for name in moments.names}
    return {**products, "mask": masks}


def _plain(work: _Work) -> Callable[[_Work, Batch], dict[str, Array]]:
    body = work.record.body
    assert isinstance(body, Program)
    session, names = work.settings.session(body), work.record.moments.names
    feeds = {name: np.repeat(v, work.settings.batch_size, axis=0) for name, v in work.subject.feeds.items()}

    def run(work: _Work, batch: Batch) -> dict[str, Array]:
        rows = len(batch.x)
        outputs = session.run({work.settings.x: batch.x, **{n: v[:rows] for n, v in feeds.items()}}, names)
        for name in names:
            if not np.isfinite(outputs[name]).all():
                raise ModelError(f"the model's output is not finite (NaN or infinity in {name!r}); are its weights?")
        work.rows += rows
        return outputs

    return run


def _nested(work: _Work, batch: Batch) -> dict[str, Array]:
    """A record inside a record runs whole on every draw, with noise of its own."""
    body = work.record.body
    assert isinstance(body, Record)
    quiet = replace(work.settings, progress=None, limits=Limits())
    image = _inner_image(work.subject.image, batch.start)
    inner = stream(body, replace(work.subject, x=batch.x[0].copy(), image=image), quiet)
    work.rows, work.heads = work.rows + inner.rows, work.heads + inner.heads
    return {"saliency": inner.saliency[None]}


def _inner_image(image: int, draw: int) -> int:
    """Return the noise counter of a picture inside a draw: distinct from the outer one's and from its siblings'."""
    return (image * 2_654_435_761 + draw + 1) % 2**32


def _reliability(work: _Work) -> dict[str, float]:
    found = work.finish.reliability()
    return {} if found is None else {"weight_reliability": found}
