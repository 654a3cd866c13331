"""The values of a row's columns as a graph: in closed form where a score is a sum, else by all coalitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.compiler.own_columns import OwnInput, at_own_inputs
from onnxsal.errors import UnsupportedError
from onnxsal.explanation.shapley.closed import PART, Form
from onnxsal.explanation.shapley.margins import SCORES
from onnxsal.folding import graft
from onnxsal.graph import Program, Tape
from onnxsal.model import Model
from onnxsal.runtime import Session

Doubles = NDArray[np.float64]
Values = Mapping[str, ir.Value]

BUDGET = 2**16
"""Rows that a file may run the model on for one row: coalitions times background rows."""

Pick = Callable[[Tape, ir.Value], ir.Value]
"""From the score's numbers, their last axis behind that of the rows, to those of the target."""


class Explainer(Protocol):
    """What makes a graph of values."""

    @property
    def way(self) -> str: ...

    def write(self, op: Tape, rows: Sequence[ir.Value], pick: Pick) -> tuple[ir.Value, ir.Value]:
        """Return the values of columns [B, F] and their base [B], doubles, of rows as the file takes them."""


def check_budget(columns: int, background: int) -> None:
    """Raise UnsupportedError where all coalitions of so many columns are more than a file may run."""
    needed = 2**columns * background
    if needed <= BUDGET:
        return
    fewer = max(BUDGET >> columns, 0)
    kept = f"{fewer} background row{'s' if fewer > 1 else ''} would do" if fewer else "no background is small enough"
    most = max(int(np.log2(BUDGET // background)), 0) if background <= BUDGET else 0
    times = _said(needed // BUDGET) if needed >= 10 * BUDGET else f"{needed / BUDGET:.1f}"
    raise UnsupportedError(
        f"shapley in a file runs the model on every coalition: 2^{columns} of {columns} columns x {background:,} "
        f"background rows = {_said(needed)} rows a row, {times} times the {BUDGET:,} that a file may run; "
        f"{kept}, or {most} columns with this background. Scores that are sums of columns have a closed form without "
        "such a limit; onnxsal.explain has none for trees either"
    )


def _said(count: int) -> str:
    """Return a number as it can be read: 2^300 has ninety digits, and 2^2000 is no double."""
    return f"{count:,}" if count < 10**12 else f"more than 10^{math.floor(math.log10(count))}"


@dataclass(frozen=True)
class Coalitions:
    """All coalitions of columns, each with every background row."""

    program: Program
    """From the file's own inputs to its scores."""
    own: Sequence[OwnInput]
    background: Doubles
    """[K, F]."""
    outputs: int
    """How many scores there are."""

    way = "all coalitions"

    def write(self, op: Tape, rows: Sequence[ir.Value], pick: Pick) -> tuple[ir.Value, ir.Value]:
        """Return the values of columns and their base; see ``Explainer``."""
        count, width = len(self.background), self.background.shape[1]
        sets = (np.arange(2**width)[:, None] >> np.arange(width)) & 1 == 1
        mixed = {}
        for each, value in zip(self.own, rows, strict=True):
            assert value.dtype is not None
            own = sets[None, :, None, each.start : each.start + len(each.columns)]
            others = op.weight(each.of(self.background, value.dtype))
            chosen = op.Where(op.const(own), op.Unsqueeze(value, [1, 2]), others)
            mixed[each.name] = op.Reshape(chosen, [-1, len(each.columns)])
        scores = graft(op, self.program, mixed, {})[SCORES]
        apart = op.Reshape(op.cast(scores, ir.DataType.DOUBLE), [-1, len(sets), count, self.outputs])
        means = pick(op, op.ReduceMean(apart, [2], keepdims=0))
        return op.MatMul(means, op.const(weights_of(width))), op.Squeeze(op.Slice(means, [0], [1], [1]), [1])


def weights_of(width: int) -> Doubles:
    """Return how far each coalition, numbered by its columns' bits, counts for each column, [2^F, F] (Shapley 1953)."""
    sets = np.arange(2**width)
    sizes = np.array([int(each).bit_count() for each in sets])
    share = [factorial(n) * factorial(width - n - 1) / factorial(width) for n in range(width)]
    found = np.empty((len(sets), width))
    for column in range(width):
        inside = (sets >> column) & 1 == 1
        found[inside, column] = [share[n - 1] for n in sizes[inside]]
        found[~inside, column] = [-share[n] for n in sizes[~inside]]
    return found


@dataclass(frozen=True)
class Sums:
    """A score that is a sum of numbers of one column each: a column's value is how far its numbers are from their mean.

    Attributes:
        means: of each part's numbers over the background, [n].
    """

    form: Form
    program: Program
    own: Sequence[OwnInput]
    means: Sequence[Doubles]
    width: int

    @property
    def way(self) -> str:
        """What the values are, in words."""
        return self.form.way

    def write(self, op: Tape, rows: Sequence[ir.Value], pick: Pick) -> tuple[ir.Value, ir.Value]:
        """Return the values of columns and their base; see ``Explainer``."""
        bound = {each.name: value for each, value in zip(self.own, rows, strict=True)}
        fed = graft(op, self.program, bound, {})
        batch = op.Shape(rows[0], start=0, end=1)
        outputs, base = len(self.form.constant), self.form.constant.copy()
        total = None
        for at, (part, mean) in enumerate(zip(self.form.parts, self.means, strict=True)):
            flat = op.Reshape(op.cast(fed[PART.format(at)], ir.DataType.DOUBLE), [-1, len(mean)])
            apart = op.Sub(flat, op.const(mean))
            spread = np.zeros((len(mean), self.width * outputs))
            for i, column in enumerate(part.columns):
                if column >= 0:
                    spread[i, column * outputs : (column + 1) * outputs] = part.weights[i]
            own = op.MatMul(apart, op.const(spread))
            total = own if total is None else op.Add(total, own)
            base = base + mean @ part.weights
        assert total is not None
        values = pick(op, op.Reshape(total, [-1, self.width, outputs]))
        bases = op.Expand(op.const(base[None, None]), op.Concat(batch, [1, 1], axis=0))
        return values, op.Squeeze(pick(op, bases), [1])


def _each_alone(model: Model, program: Program, background: Doubles) -> Mapping[str, NDArray[Any]]:
    """Return what a program gives for background rows, having seen that rows do not change each other.

    Raises: UnsupportedError: they do, and a file runs many at once.
    """
    found = model.run_rows(program, background)
    if len(background) == 1:  # one more, whatever it is, or there is nothing to see
        model.run_rows(program, np.concatenate([background, background + 1]))
    session = model.session(program)
    if isinstance(session, Session) and session.verdict in ("mixes", "draws"):
        raise UnsupportedError(
            "rows that are run together change each other's scores in this model, and a file runs all coalitions "
            "together; onnxsal.explain runs each alone"
        )
    return found


def sums(model: Model, form: Form, own: Sequence[OwnInput], background: Doubles) -> Sums:
    """Return the graph of a closed form. Raises: UnsupportedError: rows change each other."""
    behind = _each_alone(model, form.program, background)
    parts = [behind[PART.format(at)] for at in range(len(form.parts))]
    means = [part.reshape(len(part), -1).mean(axis=0, dtype=np.float64) for part in parts]
    return Sums(form, at_own_inputs(form.program, model.anatomy.entry.input, own), own, means, background.shape[1])


def coalitions(model: Model, scores: Program, own: Sequence[OwnInput], background: Doubles) -> Coalitions:
    """Return the graph by all coalitions. Raises: UnsupportedError: there are too many."""
    check_budget(background.shape[1], len(background))
    outputs = _each_alone(model, scores, background)[SCORES].shape[1]
    return Coalitions(at_own_inputs(scores, model.anatomy.entry.input, own), own, background, outputs)
