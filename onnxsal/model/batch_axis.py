"""A batch axis for models that were exported with one picture, where running proves that it is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import Anatomy, X, body
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph import Program
from onnxsal.graph.batch import fixed_batch, free_batch
from onnxsal.modalities.registry import Modality
from onnxsal.runtime import Session
from onnxsal.tasks import Wanted, dissect


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

    def __call__(self, anatomy: Anatomy) -> Session:
        program = body(anatomy)
        self.last = (
            program,
            Session(
                program,
                provider=self.running.provider,
                threads=self.running.threads,
                custom_ops=self.running.custom_ops,
            ),
        )
        return self.last[1]


def freed(model: ir.Model, modality: Modality, session: Probe, wanted: Wanted) -> tuple[Anatomy, tuple[str, ...]]:
    """Return the anatomy with a free batch axis where running proves that it is right, else as it was."""
    entry = modality.find_entry(model.graph)
    batch = fixed_batch(model, entry.input)
    anatomy = dissect(model, entry, wanted)
    if batch is None:
        return anatomy, ()
    if batch != 1:
        raise ModelError(f"the model's batch is fixed to {batch}; export it with batch 1 or a free batch axis")
    candidate = free_batch(model, entry.input)
    if candidate is not model:
        alone = session(anatomy)
        try:
            free = dissect(candidate, modality.find_entry(candidate.graph), wanted)
            if _agree(alone, session(free), anatomy):
                return free, ("the batch, fixed to 1 in the file, was made free (verified by running)",)
        except (ModelError, UnsupportedError):
            pass  # what was rewritten cannot be run: the file's own batch of 1 can
    session.last = None
    return anatomy, ("the batch is fixed to 1 in the file: images run one by one",)


def _agree(single: Session, free: Session, anatomy: Anatomy) -> bool:
    """Whether two different pictures give, together, what each gives alone, and so does the first in a batch of one.

    Small float differences are allowed.
    """
    entry = anatomy.entry
    x = np.random.default_rng(0).normal(0, 1, (2, entry.channels, *(entry.size or ()))).astype(np.float32)
    name = next(iter(anatomy.head.kinds.values()))
    alone, together, one = (each.run({X: x[:n]})[name] for each, n in ((single, 2), (free, 2), (free, 1)))
    if alone.shape != together.shape or one.shape != alone[:1].shape:
        return False
    close = 0.02 if entry.dtype == ir.DataType.FLOAT16 else 1e-3
    apart = max(np.abs(alone - together).max(), np.abs(alone[:1] - one).max())
    return bool(apart <= close * (float(np.ptp(alone)) or 1.0))
