"""A batch axis for models that were exported with one picture, where running proves that it is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Anatomy, X, body
from onnxsal.anatomy.select import entered
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph import Program
from onnxsal.graph.batch import fixed_batch, free_batch, set_size
from onnxsal.graph.cut import cut
from onnxsal.graph.tape import Tape
from onnxsal.modalities.nouns import nouns_of, spoken
from onnxsal.modalities.registry import Modality
from onnxsal.model.held import repeated
from onnxsal.runtime import Session
from onnxsal.tasks import Wanted, dissect, task_of

ONE = "the output {!r} has no axis of the batch: what is explained runs one by one"
FREED = "the batch, fixed to {} in the file, was made free (verified by running)"
SEEN = "axis {} of the output {!r} is that of the batch (verified by running)"


@dataclass(frozen=True)
class Running:
    """What a model's sessions are opened with, under the names of its fields."""

    provider: str | None
    custom_ops: tuple[str, ...]
    threads: int | None
    memory: int | None


class Probe:
    """How the probe runs a program: as the model itself will be run; the last one is kept for it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.last: tuple[Program, Session] | None = None
        self._of: Anatomy | None = None

    def serves(self, anatomy: Anatomy) -> bool:
        """Whether the last program is that of an anatomy."""
        return self._of is not None and (self._of.model, self._of.head) == (anatomy.model, anatomy.head)

    def __call__(self, anatomy: Anatomy) -> Session:
        if self.last is not None and self.serves(anatomy):
            return self.last[1]
        program = body(anatomy)
        self._of = anatomy
        self.last = (program, self.open(program))
        return self.last[1]

    def open(self, program: Program) -> Session:
        """Return a session of a program that nobody asks for again."""
        running = self.running
        return Session(
            program, provider=running.provider, threads=running.threads, custom_ops=running.custom_ops
        )  # fmt: skip


def freed(
    model: ir.Model, modality: Modality, session: Probe, wanted: Wanted, rows: Mapping[str, int]
) -> tuple[Anatomy, tuple[str, ...]]:
    """Return the anatomy with a free batch axis where running proves that it is right, else as it was.

    Args: rows: held inputs that may have to be repeated over the batch, and along which axis.
    """
    entry = modality.find_entry(model.graph)
    anatomy = dissect(model, entry, wanted)
    if entry.one_by_one:
        return anatomy, ()
    batch = fixed_batch(model, entry.input)
    if batch is None:
        return _with_rows(anatomy, modality, session, wanted) if task_of(anatomy).alone else (anatomy, ())
    candidate = free_batch(model, entry.input)
    if candidate is not model:
        own = session(anatomy)
        for each in (candidate, *([_repeated(candidate, entry.input, rows)] if rows else [])):
            try:
                free = dissect(each, modality.find_entry(each.graph), wanted)
                same = task_of(free).name == task_of(anatomy).name and not task_of(free).alone
                if same and _agree(own, session(free), anatomy, batch):
                    return free, (FREED.format(batch),)
            except (ModelError, UnsupportedError):
                pass  # what was rewritten cannot be run: the file's own batch of 1 can
    if batch != 1:
        alone = None if candidate is model else _freed_alone(anatomy, candidate, modality, session, wanted)
        if alone is not None:
            return alone
        raise ModelError(f"the model's batch is fixed to {batch}; export it with batch 1 or a free batch axis")
    session.last = None
    said = "the batch is fixed to 1 in the file: images run one by one"
    return anatomy, (spoken(said, nouns_of(modality.name)),)


def _freed_alone(
    anatomy: Anatomy, candidate: ir.Model, modality: Modality, session: Probe, wanted: Wanted
) -> tuple[Anatomy, tuple[str, ...]] | None:
    """Return what a model of a larger batch is with a free one, where running tells which axis of its output that is.

    None where it tells none, the output is not that of the file for the file's own batch, or the task has its own axis.
    """
    if not task_of(anatomy).alone:
        return None
    free, x = dissect(candidate, modality.find_entry(candidate.graph), wanted), _noise(anatomy, _fixed(anatomy))
    axis = _batch_axis(free, session)
    if axis is None:
        return None
    own, together = (_put_out(each, session, x) for each in (anatomy, free))
    if own.shape != together.shape or not np.allclose(own, together, rtol=1e-3, atol=1e-3 * (float(np.ptp(own)) or 1)):
        return None
    task = task_of(free)
    notes = (FREED.format(_fixed(anatomy)), SEEN.format(axis, task.output))
    return replace(free, head=task.rows_on(axis)), notes


def _fixed(anatomy: Anatomy) -> int:
    return fixed_batch(anatomy.model, anatomy.entry.input) or 1


def _put_out(anatomy: Anatomy, session: Probe, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the whole output that is explained, of values x [B, C, *S]."""
    output = anatomy.head.output
    op = entered(anatomy).extend()
    return np.asarray(session.open(op.finish_with({output: op[output]})).run({X: x})[output], np.float64)


def _repeated(model: ir.Model, name: str, rows: Mapping[str, int]) -> ir.Model:
    """Return the model with what is held repeated over the batch of the input of that name."""
    work = model.clone()
    graph = work.graph
    op, like = Tape(graph), next(v for v in graph.inputs if v.name == name)
    for each, axis in rows.items():
        constant = graph.initializers.get(each)
        if constant is None:  # nothing is left of it but what was worked out of it
            continue
        cut(op, constant, partial(repeated, op, constant, {axis: 0}, like))
    return work


def _with_rows(anatomy: Anatomy, modality: Modality, session: Probe, wanted: Wanted) -> tuple[Anatomy, tuple[str, ...]]:
    """Return the anatomy of a free batch with its output's axis of it where running shows one, else of a batch of 1.

    That is freed again: an operator may fix to one what is declared free.
    """
    task = task_of(anatomy)
    axis = _batch_axis(anatomy, session)
    if axis is not None:
        return replace(anatomy, head=task.rows_on(axis)), (SEEN.format(axis, task.output),)
    again, notes = freed(set_size(anatomy.model, anatomy.entry.input, {0: 1}), modality, session, wanted, {})
    is_one = fixed_batch(again.model, again.entry.input) is not None  # what fixed it inside could not be freed
    return again, (ONE.format(task.output),) if is_one else notes


def _batch_axis(anatomy: Anatomy, session: Probe) -> int | None:
    """Return the one axis of the output that grows with the batch, and along which one input's part is what it alone
    gives; None where there is none.
    """
    output = anatomy.head.output
    op = entered(anatomy).extend()
    running, x = session.open(op.finish_with({output: op[output]})), _noise(anatomy, 2)
    try:
        both, one = (np.asarray(running.run({X: x[:n]})[output], np.float64) for n in (2, 1))
    except ModelError:  # it takes no batch, whatever its axis promises
        return None
    twice = [axis for axis, (n, m) in enumerate(zip(both.shape, one.shape, strict=False)) if n != m]
    if both.ndim != one.ndim or len(twice) != 1 or (both.shape[twice[0]], one.shape[twice[0]]) != (2, 1):
        return None
    first = both.take([0], axis=twice[0])
    return twice[0] if np.allclose(first, one, rtol=1e-3, atol=1e-3 * (float(np.ptp(one)) or 1.0)) else None


def _noise(anatomy: Anatomy, rows: int) -> NDArray[np.float32]:
    entry = anatomy.entry
    size = (rows, entry.channels, *(entry.size or ()))
    return np.random.default_rng(0).normal(0, 1, size).astype(np.float32)


def _agree(own: Session, free: Session, anatomy: Anatomy, batch: int) -> bool:
    """Whether different pictures give, together, what the file gives for them, and so does the first in a batch of one.

    A file of one picture runs two of them one by one. Small float differences are allowed.
    """
    entry, rows = anatomy.entry, max(batch, 2)
    x = _noise(anatomy, rows)
    name = next(iter(anatomy.head.kinds.values()))
    alone, together, one = (each.run({X: x[:n]})[name] for each, n in ((own, rows), (free, rows), (free, 1)))
    if alone.shape != together.shape or one.shape != alone[:1].shape:
        return False
    off = np.isneginf(alone) & np.isneginf(together)  # classes that are switched off
    off[:1] &= np.isneginf(one)
    alone, together, one = (np.where(off[: len(each)], 0, each) for each in (alone, together, one))
    close = 0.02 if entry.dtype == ir.DataType.FLOAT16 else 1e-3
    apart = max(np.abs(alone - together).max(), np.abs(alone[:1] - one).max())
    return bool(apart <= close * (float(np.ptp(alone)) or 1.0))
