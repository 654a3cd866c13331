"""Outputs without an axis of the batch, as files have them that were exported for one picture: it is put back.

Such a file is then read as the same model is that keeps its rows. Running both for one picture has to give the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.decisions import Decision
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph import Program, dims
from onnxsal.graph.lost_rows import Restored, restored
from onnxsal.model.batch_axis import Probe
from onnxsal.tasks import Task, Wanted
from onnxsal.tasks.outputs import OPEN
from onnxsal.tasks.registry import LAST, recognise

ROWS = "rows"
"""What the decision is called that an output has got its axis of the batch back."""


@dataclass(frozen=True)
class Rows:
    """A model whose outputs have a row for each picture, and what is told of those that have not in the file."""

    model: ir.Model
    lost: tuple[tuple[str, str], ...] = ()
    """Outputs, and the node that takes the axis off each."""

    @property
    def decided(self) -> tuple[Decision, ...]:
        """What was decided of the outputs."""
        return tuple(Decision(ROWS, name, f"put back: {_lost(node)} (verified by running)") for name, node in self.lost)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the outputs."""
        return tuple(
            f"the output {name!r} has no axis of the batch, for {_lost(node)}: it is put back (verified by running); "
            "elements are named as the file has them"
            for name, node in self.lost
        )


def _lost(node: str) -> str:
    return f"{node} takes it off"


def rows_kept(model: ir.Model, entry: Entry, wanted: Wanted, session: Probe) -> Rows:
    """Return a model in normal form with the axis of the batch put back where an output has lost it, else itself.

    Not where elements are asked for, or nothing else is proved of its output: these are named as the file has them.
    """
    if wanted.task == LAST or not entry.input_axes.startswith("N"):
        return Rows(model)
    closed = [str(v.name) for v in model.graph.outputs if OPEN not in v.metadata_props]  # the others hold steps
    found = restored(model, entry.input, closed)
    if found is None or not _is_read(found, wanted) or not _same(model, found, entry, session):
        return Rows(model)
    return Rows(found.model, tuple(found.lost.items()))


def _is_read(found: Restored, wanted: Wanted) -> bool:
    """Whether the output that is explained is one that got its axis back, and holds more than elements.

    Where nothing showed that it was the axis of the batch, something else has to: an activation, or as many labels.
    """
    try:
        task = recognise(found.model.graph, wanted)
    except UnsupportedError:
        return False
    if task.output not in found.lost or task.by_element:
        return False
    return task.output not in found.unseen or _is_shown(task, wanted)


def _is_shown(task: Task, wanted: Wanted) -> bool:
    return bool(getattr(task, "proof", "")) or any(count > 1 and wanted.fits(count) for count in task.name_counts)


def _same(model: ir.Model, found: Restored, entry: Entry, session: Probe) -> bool:
    """Whether the outputs hold what those of the file do for one made-up picture, whatever their shape."""
    source = next(v for v in found.model.graph.inputs if v.name == entry.input)
    sizes = [d for d in dims(source) or () if isinstance(d, int)]
    if len(sizes) != len(dims(source) or ()):
        return False
    feed = {entry.input: _noise(entry, sizes)}
    try:
        both = [session.open(Program(each)).run(feed) for each in (model, found.model)]
    except ModelError:
        return False
    return all(_alike(both[0][name], both[1][name]) for name in found.lost)


def _noise(entry: Entry, shape: list[int]) -> NDArray[np.generic]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, shape) if entry.is_raw else rng.normal(0, 1, shape)
    return noise.astype(entry.dtype.numpy())


def _alike(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    if a.size != b.size or a.dtype.kind not in "fiub":
        return False
    first, second = (np.asarray(each, np.float64).reshape(-1) for each in (a, b))
    span = float(np.abs(first[np.isfinite(first)]).max(initial=0.0))
    return np.allclose(first, second, rtol=1e-3, atol=1e-3 * span, equal_nan=True)
