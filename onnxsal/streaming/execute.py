"""Running the draws of a record batch by batch, until they are through, a limit is reached or memory is short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple

import numpy as np

from onnxsal.errors import ModelError, OutOfMemoryError, UsageError
from onnxsal.interrupts import whole
from onnxsal.kernels.plane import unplane
from onnxsal.records import Moments, Record
from onnxsal.runtime import ColumnSession
from onnxsal.runtime.together import hold
from onnxsal.streaming.batches import batches
from onnxsal.streaming.device import Batch, Device, Host, Runner
from onnxsal.streaming.limits import FIRST_LOOK, FIRST_LOOK_ALLOCATED, FIRST_LOOK_SPARING, Reason, Stopper
from onnxsal.streaming.plan import Indices
from onnxsal.streaming.sparing import Spared, Sparing
from onnxsal.streaming.stages import Stages
from onnxsal.streaming.weighed import Weighed
from onnxsal.streaming.work import Array, OverBudgetError, Work, apart

Outputs = list[dict[str, Array]]
"""Of every target, its outputs by name."""


class Ran(NamedTuple):
    """What came of a batch, and how many images went through bodies and heads for it."""

    outputs: Outputs
    rows: int
    heads: int = 0


Nested = Callable[[Work, Batch], Ran]
"""Runs a record inside a record on one draw."""


def accumulate(work: Work, nested: Nested) -> Reason | None:
    """Run the draws until they are through or a limit is reached; return which.

    Raises: OutOfMemoryError: a single image is too much. KeyboardInterrupt: unless partial maps are wanted.
    """
    device, evaluate = _how(work, nested)
    stopper, total = _stopper(work), _allowed(work)
    try:
        while True:
            try:
                return _through(work, device, evaluate, stopper, total)
            except (OutOfMemoryError, MemoryError) as error:
                _halve(work, error)
    except KeyboardInterrupt:
        if not (work.settings.limits.keep_partial and work.shows):
            raise
        return "interrupted"


def _stopper(work: Work) -> Stopper:
    order, limits, error = work.plan.order, work.settings.limits, work.relative_error
    if isinstance(order, Sparing):  # the error is known at the end of every stage: the next one is decided by it
        return Stopper(limits, error, _look=FIRST_LOOK_SPARING, growth=1.0)
    return Stopper(limits, error, _look=FIRST_LOOK if order is None else FIRST_LOOK_ALLOCATED)


def _how(work: Work, nested: Nested) -> tuple[Device, Callable[[Batch], Ran]]:
    body = work.record.body
    if isinstance(body, Record):
        return Host(work.plan, work.settings.x, work.key), lambda batch: nested(work, batch)
    session = work.settings.session(body)
    device = _device_of(session, work)

    def evaluate(batch: Batch) -> Ran:
        def call(feeds: Mapping[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
            return device.run(session, batch, feeds, names)

        trusted = _trusted(session, batch)
        ran = _run(work, batch, call)
        return ran if trusted or not _mixed(work, session, batch, ran) else _run(work, batch, call)

    return device, evaluate


def _device_of(session: Runner, work: Work) -> Device:
    """Return the device that fills batches where a session runs; for another GPU than the first, the host.

    Raises: UnsupportedError: the session is on a GPU that the kernels cannot use.
    """
    if not session.on_gpu or session.device_id:  # Numba's kernels run on the first GPU
        return Host(work.plan, work.settings.x, work.key)
    from onnxsal.streaming.gpu import Gpu  # loads numba's CUDA target

    return Gpu(work.plan, work.settings.x, work.key)


def _trusted(session: Runner, batch: Batch) -> bool:
    """Whether a batch that is about to be run needs no comparison; another thread may find out while it runs.

    The sessions that scores are picked from are held by who opens them, on rows that differ more than these.
    """
    return batch.rows == 1 or isinstance(session, ColumnSession) or session.verdict is not None


def _mixed(work: Work, session: Runner, batch: Batch, ran: Ran) -> bool:
    """Hold the first batch that a program is run on against its last row alone; return whether they differ."""
    if isinstance(session, ColumnSession):
        return False
    x = work.plan.things(batch.x if isinstance(batch.x, np.ndarray) else batch.x.copy_to_host())
    fixed = {name: np.repeat(value, batch.rows, axis=0) for name, value in work.targets[0].items()}
    hold(session, {work.settings.x: x, **fixed}, ran.outputs[0], [batch.rows - 1])
    return session.single


def _through(
    work: Work, device: Device, evaluate: Callable[[Batch], Ran], stopper: Stopper, total: int
) -> Reason | None:
    size = 1 if isinstance(work.record.body, Record) else work.batch_size
    while work.draws < total:
        _settle(work)
        end = min(total, work.plan.known, _look(work, stopper))
        with closing(batches(device, work.draws, end, size)) as source:
            for batch in source:
                try:
                    ran = evaluate(batch)
                except OverBudgetError as error:
                    return _ended(work, error)
                _take(work, batch, ran)
                reason = stopper.reached(work.rows + work.heads, work.looked_at)
                if reason is not None and work.draws < work.plan.total and (work.shows or reason == "forwards"):
                    return reason
    return "forwards" if work.draws < work.plan.total else None


def _look(work: Work, stopper: Stopper) -> int:
    """Return the draw at which the error is looked at next: batches end there, whatever their size."""
    return work.plan.total if stopper.look is None else stopper.look * work.plan.per_sample


def _settle(work: Work) -> None:
    """Decide the draws of the next stage, now that the one before it is through."""
    order, sums = work.plan.order, work.sums[0]
    if order is not None and isinstance(sums, Stages | Spared) and work.draws == order.known < work.plan.total:
        with whole():
            order.settle(*sums.so_far())


def _halve(work: Work, error: BaseException) -> None:
    """Go on with smaller batches from the first draw that is not taken; draws do not depend on their batch."""
    if work.batch_size == 1:
        if isinstance(error, OutOfMemoryError):
            raise error
        raise OutOfMemoryError(
            f"out of memory, for one image at a time too; use a smaller model or size ({error})"
        ) from error
    work.batch_size = max(min(work.batch_size, work.plan.total) // 2, 1)


def _allowed(work: Work) -> int:
    """How many draws the limit of forwards leaves, exactly, so that the same limit gives the same map for any batch."""
    limit = work.settings.limits.forwards
    if limit is None:
        return work.plan.total
    if limit <= work.heads:
        raise UsageError(f"option forwards={limit}: at least {work.heads + 1}, of which {work.heads} prepare the draws")
    if isinstance(work.record.body, Record):
        return work.plan.total
    left = min(work.plan.total, limit - work.heads)
    return left if not isinstance(work.plan.order, Sparing) else _whole_masks(work.plan.order.each, left, work.heads)


def _whole_masks(each: int, draws: int, heads: int) -> int:
    """Return how many draws are whole masks' among so many."""
    if draws < each:
        raise UsageError(
            f"option forwards={draws + heads}: at least {each + heads}, for a mask takes {each} and "
            f"{heads} prepare the draws"
        )
    return draws // each * each


def left(work: Work) -> int | None:
    """Return how many images more may be run, or None; of a record in a record only its head tells what it takes."""
    ends = [end for end in (work.settings.limits.forwards, work.settings.budget) if end is not None]
    return min(ends) - work.rows - work.heads if ends else None


def _ended(work: Work, error: OverBudgetError) -> Reason:
    """Return that the limit is reached, where it is the one of this record.

    Raises: UsageError: it has no room for a single sample.
    """
    limit = work.settings.limits.forwards
    if limit is None:
        raise OverBudgetError(work.rows + work.heads + error.needed) from error
    if work.draws == 0:
        least = work.heads + error.needed
        raise UsageError(
            f"option forwards={limit}: a single sample takes at least {least}, for the method inside runs whole"
        )
    return "forwards"


def _take(work: Work, batch: Batch, ran: Ran) -> None:
    """Take in a batch: all of it, for every target, or nothing, so that an end at any moment leaves whole sums."""
    stop = batch.start + batch.rows
    which = work.plan.which(batch.start, stop)
    steps = _steps(work, batch, ran, which)
    with whole():
        for step in steps:
            step()
        work.rows, work.heads, work.draws = work.rows + ran.rows, work.heads + ran.heads, stop
    if work.settings.progress is not None:
        work.settings.progress(work.draws, work.plan.total)


def _steps(work: Work, batch: Batch, ran: Ran, which: tuple[Indices, Indices]) -> list[Callable[[], None]]:
    """Return the steps that take in a batch; memory that they need is found here."""
    moments, first = work.record.moments, work.sums[0]
    masks = None if batch.masks is None or moments.per != "weighted" else unplane(batch.masks, work.plan.size)
    if masks is not None and isinstance(first, Weighed):
        others = [each for each in work.sums[1:] if isinstance(each, Weighed)]
        return [first.adding_all(others, ran.outputs, masks, which[0])]
    found = [own if masks is None else _weighted(moments, own, masks) for own in ran.outputs]
    return [sums.adding(own, *which) for sums, own in zip(work.sums, found, strict=True)]


def _weighted(moments: Moments, outputs: Mapping[str, Array], masks: Array) -> dict[str, Array]:
    products = {name: outputs[name].reshape(-1, *[1] * (masks.ndim - 1)) * masks for name in moments.names}
    return {**products, "mask": masks}


Call = Callable[[Mapping[str, Array], tuple[str, ...]], dict[str, Array]]


def _run(work: Work, batch: Batch, call: Call) -> Ran:
    """Run the body on a batch, once whatever the number of targets."""
    names = work.record.moments.names
    found = call(work.feeds(batch.rows), names)
    if not all(np.isfinite(found[name]).all() for name in names):
        raise ModelError(
            f"the model's output is not finite (NaN or infinity in {', '.join(names)}): "
            "its weights, or what goes in, hold such numbers or lead to them"
        )
    return Ran(apart(found, work.targets), batch.rows)
