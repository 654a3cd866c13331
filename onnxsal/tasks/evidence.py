"""What settles what a graph leaves open: what a user says, what stands beside the file, a run on made-up inputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.parts import Head
from onnxsal.decisions import Decision
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.files import beside, read_text
from onnxsal.tasks.label_sources import given_names
from onnxsal.tasks.labels import LabelSource

Floats = NDArray[np.float32]

SUM, END = 1e-3, 1e-4
"""How far rows may sum from 1, and numbers lie outside [0, 1], that a run finds to be probabilities."""

_KINDS = {"multi_label_classification": "sigmoid", "single_label_classification": "softmax", "regression": "regression"}
"""What transformers calls the kinds of heads, and what each makes of its numbers."""


@dataclass(frozen=True)
class Said:
    """What stands in or beside a file: ``softmax``, ``sigmoid`` or ``regression``, of so many numbers, and where."""

    kind: str
    where: str
    count: int | None = None

    def fits(self, numbers: int) -> bool:
        """Whether it can be said of so many numbers: a folder's words may be those of another model."""
        return self.count in (None, numbers)


def said_of(path: str, metadata: Mapping[str, str]) -> Said | None:
    """Return what ``problem_type`` says in a file's metadata, or in a ``config.json`` beside it."""
    if "problem_type" in metadata:
        return _said({"problem_type": metadata["problem_type"]}, "the file's metadata")
    for found in beside(Path(path), "config.json") if path else ():
        if found.is_file() and "problem_type" in (text := read_text(found, "config")):
            return _said(_object(text), f"problem_type in {found.name}")
    return None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(config: Mapping[str, Any], where: str) -> Said | None:
    kind = _KINDS.get(str(config.get("problem_type")))
    names = config.get("id2label")
    count = len(names) if isinstance(names, dict) else config.get("num_labels")
    return None if kind is None else Said(kind, where, count if isinstance(count, int) else None)


@dataclass(frozen=True)
class Evidence:
    """What is known of a file beside what its graph proves."""

    graph: ir.Graph
    task: str | None = None
    """The task that was asked for."""
    activation: str | None = None
    """The activation that was."""
    path: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    labels: LabelSource | None = None
    """What was given."""
    run: Callable[[Head], Floats] | None = None
    """Returns the numbers, [n, N], that a task's first kind has on made-up inputs, one a row."""
    last_changed: Callable[[Head], Floats] | None = None
    """Returns those of two made-up inputs, [2, N], that differ in their last position alone; none where it fails."""

    @property
    def said(self) -> Said | None:
        """What the file or its neighbours say of its outputs; read when somebody asks."""
        return said_of(self.path, self.metadata)

    @property
    def names(self) -> int | None:
        """How many labels are the file's own, or given."""
        return given_names(self.labels, self.path, self.metadata)

    def rows(self, head: Head) -> Floats:
        """Return the finite rows of a run; none where it fails, which loading is no place to tell of."""
        try:
            found = np.zeros((0, 1), np.float32) if self.run is None else self.run(head)
        except (ModelError, UnsupportedError):
            return np.zeros((0, 1), np.float32)
        return found[np.isfinite(found).all(axis=1)]


@dataclass(frozen=True)
class Settled:
    """A task after everything that is known of a file, what was decided, and what is to be said of it."""

    task: Head
    decisions: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    """What is to be said where probabilities are shown, which nothing proves."""


def are_shares(rows: Floats) -> bool:
    """Return whether a run found rows in [0, 1] that sum to 1."""
    return are_within(rows) and bool(np.abs(rows.sum(axis=1) - 1).max() <= SUM)


def are_within(rows: Floats) -> bool:
    """Return whether a run found no number outside [0, 1]."""
    return bool(len(rows)) and bool(rows.min() >= -END) and bool(rows.max() <= 1 + END)
