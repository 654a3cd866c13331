"""Running a record: head, draws in batches, moments, tail; with limits, progress, errors and bounded memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from onnxsal.errors import OutOfMemoryError, UsageError
from onnxsal.records import Record
from onnxsal.runtime import ColumnSession
from onnxsal.streaming.device import Batch
from onnxsal.streaming.execute import Ran, accumulate, left
from onnxsal.streaming.finish import Finish, Tail, relative
from onnxsal.streaming.limits import Limits
from onnxsal.streaming.moments import GROUPS, LIMIT, Accumulator
from onnxsal.streaming.plan import Plan, make_plan
from onnxsal.streaming.sparing import Spared, Sparing
from onnxsal.streaming.stages import Stages
from onnxsal.streaming.weighed import Weighed
from onnxsal.streaming.work import Array, OverBudgetError, Settings, Streamed, Subject, Work, apart, together

Feeds = Mapping[str, Array]

ROOM = 2 * 2**30
"""Bytes that the sums of several targets may take together."""


def stream(record: Record, subject: Subject, settings: Settings) -> Streamed:
    """Return the map of a record for one picture.

    Raises: ModelError: a run failed, or the scores are not finite. UnsupportedError: every map is flat.
    UsageError: a limit that this record cannot keep. KeyboardInterrupt: unless partial maps are wanted.
    """
    return stream_all(record, subject, (subject.feeds,), settings)[0]


def serves_several(record: Record, settings: Settings) -> bool:
    """Whether ``stream_all`` takes several targets: the body puts out all scores, of which each target picks one."""
    # What is drawn follows one target's scores.
    if record.draws.allocation == "neyman" or (record.draws.foreseen is not None and settings.limits.any):
        return False
    return not isinstance(record.body, Record) and isinstance(settings.session(record.body), ColumnSession)


def targets_at_once(record: Record, positions: Sequence[int]) -> int:
    """Return of how many targets the sums are held at a time (``ROOM``); more are served by further runs.

    Args: positions: the sizes of the explained value's positions, of which sums of weighed masks have all.
    """
    if record.moments.per != "weighted":
        return sys.maxsize
    each = min(LIMIT, 2 * GROUPS * math.prod(positions) * np.dtype(np.float64).itemsize)
    return max(ROOM // each, 1)


def stream_all(record: Record, subject: Subject, targets: Sequence[Feeds], settings: Settings) -> list[Streamed]:
    """Return the map of every target from the same runs; ``rows`` and ``heads`` of each are those of all together.

    Raises: as ``stream``.
    """
    _check_limits(record, settings.limits)
    _check_budget(settings, int(record.head is not None) + int(record.draws.reference))
    heads = _run_heads(record, subject, targets, settings)
    work = _prepared(record, subject, tuple(targets), settings, heads)
    if not isinstance(record.body, Record):
        _check_budget(settings, work.heads + work.plan.total)
    stopped = accumulate(work, _nested)
    partial = work.draws < work.plan.total and stopped != "tolerance"
    return [_streamed(work, finish, stopped, partial) for finish in work.finishes]


def _streamed(work: Work, finish: Finish, stopped: str | None, partial: bool) -> Streamed:
    finish.settle()
    saliency, numbers = finish.map()
    stderr, reliability = finish.stderr(), finish.reliability()
    if stderr is not None:
        numbers = {**numbers, "relative_error": relative(stderr, saliency)}
    sums = work.sums[0]
    if isinstance(sums, Spared):
        numbers = {**numbers, "maps_scored": sums.scored, "maps_foreseen": work.plan.per_sample - sums.scored}
    if reliability is not None:
        numbers = {**numbers, "weight_reliability": reliability}
    shown = work.settings.shown
    return Streamed(
        saliency, stderr, numbers, work.rows, work.heads, work.samples, work.batch_size, stopped, partial,
        work.plan.per_sample, None if shown is None else finish.stderr(shown),
    )  # fmt: skip


def _check_limits(record: Record, limits: Limits) -> None:
    if record.draws.foreseen is not None:
        return
    if limits.any and record.draws.path:
        raise UsageError(
            "the steps of a path have to be run whole: set their number (steps=...), not seconds, forwards or tolerance"
        )
    if limits.tolerance is not None and not record.draws.sampled:
        raise UsageError("option tolerance is for methods that draw samples; this one is exact when it ends")


def _check_budget(settings: Settings, needed: int) -> None:
    if settings.budget is not None and needed > settings.budget:
        raise OverBudgetError(needed)


def _run_heads(
    record: Record, subject: Subject, targets: Sequence[Feeds], settings: Settings
) -> list[dict[str, Array]]:
    """Run the head once, or once a target where it reads the target: an input that it only carries along has no use."""
    if record.head is None:
        return [{}]
    session, inputs = settings.session(record.head), record.head.inputs
    aimed = any(inputs[name].uses() for name in targets[0] if name in inputs)
    apart = targets if aimed else targets[:1]
    return [session.run({settings.x: subject.x[None], **feeds}) for feeds in apart]


def _prepared(
    record: Record, subject: Subject, targets: tuple[Feeds, ...], settings: Settings, heads: list[dict[str, Array]]
) -> Work:
    varied = subject.x if record.varies == "x" else np.ascontiguousarray(heads[0][record.varies][0], np.float32)
    try:
        plan = make_plan(varied, record.draws, heads[0], subject.black, (settings.seed, subject.image))
    except MemoryError as error:  # for all maps at once: no smaller batch would change it
        raise OutOfMemoryError(f"out of memory before the first batch: {error}") from error
    images = len(heads) * (record.head is not None) + int(record.draws.reference)
    if _spares(record, settings.limits, images + plan.total):
        plan = plan.sparing()
    references = _references(record, plan, targets, settings)
    sums = [_accumulator(record, plan, has_groups(record) or settings.shown is not None) for _ in targets]
    own = heads * len(targets) if len(heads) == 1 else heads
    finishes = [
        _finish(record, plan, each, {**head, **reference}, settings)
        for each, head, reference in zip(sums, own, references, strict=True)
    ]
    return Work(record, plan, subject, targets, settings, sums, finishes, images, settings.batch_size)


def _spares(record: Record, limits: Limits, whole: int) -> bool:
    """Whether a limit may leave some masks out, and the scores of others tell theirs. Args: whole: images for all."""
    short = limits.forwards is not None and limits.forwards < whole
    limited = short or limits.seconds is not None or limits.tolerance is not None
    return record.draws.foreseen is not None and limited


def _accumulator(record: Record, plan: Plan, groups: bool) -> Accumulator:
    if isinstance(plan.order, Sparing):
        return Spared(record.moments, plan.order, plan.per_sample)
    if plan.order is not None:
        return Stages(record.moments, plan.order)
    count = min(GROUPS, plan.samples) if record.draws.sampled and groups else 1
    if record.moments.per == "weighted" and not needs_squares(record):
        return Weighed(record.moments, groups=count, weights=record.draws.weights)
    return Accumulator(
        record.moments, masks=plan.per_sample, weights=record.draws.weights, groups=count, squares=needs_squares(record)
    )


def _finish(record: Record, plan: Plan, sums: Accumulator, given: Feeds, settings: Settings) -> Finish:
    given = {**given, "x": plan.things(plan.x)[None], "baseline": plan.things(plan.baseline)[None]}
    return Finish(record, plan, sums, None if record.tail is None else Tail(settings.session(record.tail), given))


def has_groups(record: Record) -> bool:
    return record.tail is not None or record.moments.shown != "mean" or record.moments.per == "mask"


def needs_squares(record: Record) -> bool:
    if record.tail is None:
        return record.draws.sampled or record.moments.shown != "mean"
    return any(name.startswith(("square/", "variance/")) for name in record.tail.inputs)


def _references(record: Record, plan: Plan, targets: tuple[Feeds, ...], settings: Settings) -> list[dict[str, Array]]:
    if not record.draws.reference or isinstance(record.body, Record):
        return [{} for _ in targets]
    session = settings.session(record.reference or record.body)
    entry = {settings.x: plan.things(plan.baseline)[None]}
    outputs = apart(session.run({**entry, **together(targets, 1)}), targets)
    return [{f"reference/{name}": value for name, value in own.items()} for own in outputs]


def _nested(work: Work, batch: Batch) -> Ran:
    """A record inside a record runs whole on every draw, with noise of its own."""
    body = work.record.body
    assert isinstance(body, Record)
    quiet = replace(
        work.settings, progress=None, limits=Limits(), batch_size=work.batch_size, shown=None, budget=left(work)
    )
    image = _inner_image(work.subject.image, batch.start)
    subject = replace(work.subject, x=work.plan.things(batch.x[0]).copy(), image=image)
    inner = stream(body, subject, quiet)
    work.batch_size = inner.batch_size
    return Ran([{"saliency": inner.saliency[None]}], inner.rows, inner.heads)


def _inner_image(image: int, draw: int) -> int:
    """Return the noise counter of a picture inside a draw: distinct from the outer one's and from its siblings'."""
    return (image * 2_654_435_761 + draw + 1) % 2**32
