"""Explaining rows of a table: their columns' shares of a score, in closed form, by all coalitions, or estimated."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.manifest import manifest_of
from onnxsal.explanation.method_plan import Common, MethodPlan
from onnxsal.explanation.outcome import Outcome
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.shapley.background import Background, background_of
from onnxsal.explanation.shapley.closed import Closed, Form, closed_form
from onnxsal.explanation.shapley.exact import MOST, ROWS, exact_values, rows_of
from onnxsal.explanation.shapley.game import Game
from onnxsal.explanation.shapley.margins import SCORES, Scored, scored
from onnxsal.explanation.shapley.permutation import estimated_values, relative_error
from onnxsal.explanation.target import TargetSource, resolve_target
from onnxsal.modalities.registry import Sample
from onnxsal.modalities.table_rows import TableRows
from onnxsal.model import Model
from onnxsal.model.table import as_table, table_in
from onnxsal.tasks import Numbers, Target

Doubles = NDArray[np.float64]

_Known = tuple[Doubles, Doubles]
"""The values of a row's columns for every number of the score, [F, N], and their base [N]."""

_TOGETHER = 4096
"""Rows whose closed form is worked out at once."""

COALITIONS = "all coalitions"
ORDERS = "random orders"


@dataclass(frozen=True)
class Shares:
    """What the columns of a row have of its score, how that was found, and what it took."""

    values: Doubles
    base: float
    way: str
    stderr: Doubles | None = None
    samples: int | None = None
    forwards: int = 0
    about: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class _Asked:
    """What the rows of one call have in common."""

    request: Request
    scored: Scored
    background: Background
    closed: Closed | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Options:
    """What was asked for beside the rows: as the arguments of ``explain``."""

    steps: MethodPlan
    common: Common
    score: str | None
    seed: int


def explain_rows(model: Model, rows: TableRows, targets: Sequence[TargetSource], options: Options) -> list[Explanation]:
    """Return the explanations of rows, row by row one for each target."""
    asked, found = _prepared(as_table(model), rows, options), list[Explanation]()
    for first in range(0, len(rows), _TOGETHER):
        part = rows.part(first, first + _TOGETHER)
        known = None if asked.closed is None else asked.closed.values(part.values)
        for at in range(len(part)):
            own = None if known is None else (known[0][at], known[1])
            try:
                found += _of_row(asked, part.row(at + 1), own, targets)
            except KeyboardInterrupt:  # before anything of this row; those before it are whole
                if not (found and options.common.keep_partial):
                    raise
                return found
            if found[-1].manifest.get("stopped") == "interrupted":
                return found
    return found


def _prepared(model: Model, rows: TableRows, options: Options) -> _Asked:
    request = prepare_request(
        model, options.steps, layer=None, score=None, seed=options.seed, preprocess=None, common=options.common
    )
    explained: Scored = model.program(("scored", options.score), lambda: scored(model, options.score))
    background = background_of(table_in(model), options.steps.options["background"], rows)
    form: Form | None = model.program(("closed", options.score), lambda: closed_form(explained.program, SCORES))
    against = None if form is None else form.against(model, background.values)
    return _Asked(replace(request, score=explained.kind), explained, background, against, background.notes)


def _of_row(asked: _Asked, row: TableRows, known: _Known | None, targets: Sequence[TargetSource]) -> list[Explanation]:
    """Return the explanations of one row. Args: known: its columns' values for every number, where there is a form."""
    model = asked.request.model
    sample = model.prepare(row)  # type: ignore[arg-type]
    numbers = model.numbers(sample)
    goals = [_aimed(asked, target, numbers, sample) for target in targets]
    return [_explained(asked, sample, known, numbers, goal) for goal in goals]


def _aimed(asked: _Asked, target: TargetSource, numbers: Numbers, sample: Sample) -> Target:
    model, kind = asked.request.model, asked.scored.kind
    goal = model.task.aimed(resolve_target(model, target, numbers, sample), kind)
    if goal.program is not None or goal.kind not in (None, kind):
        raise UsageError(f"target={target!r}: values of columns are of the model's own numbers, {kind}")
    return goal


def _explained(asked: _Asked, sample: Sample, known: _Known | None, numbers: Numbers, goal: Target) -> Explanation:
    started = time.perf_counter()
    shares = (
        _shares(asked, sample, goal) if asked.closed is None or known is None else _picked(asked.closed, known, goal)
    )
    request, model = asked.request, asked.request.model
    raw = shares.values.astype(np.float32)
    stderr = None if shares.stderr is None else shares.stderr.astype(np.float32)
    errors = {} if shares.stderr is None else {"relative_error": relative_error(shares.values, shares.stderr)}
    about = {**asked.background.about(), "way": shares.way, "base_value": shares.base, **(shares.about or {})}
    outcome = Outcome(raw, stderr, errors, shares.forwards, 0, shares.samples, about)
    manifest = manifest_of(request, outcome, goal, "signed") | {"seconds": round(time.perf_counter() - started, 4)}
    score, logit = model.task.shown(goal, numbers)
    if asked.scored.kind == "logit" and np.isnan(logit):
        logit = shares.base + float(shares.values.sum())
    most = float(np.abs(raw).max(initial=0.0))
    return Explanation(
        saliency=raw / np.float32(most) if most else raw, raw=raw, stderr=stderr, target=goal.target, label=goal.label,
        score=score, logit=logit, image=None, box=None, photo=None, name=sample.name, sample=sample,
        manifest={**manifest, "notes": [*model.notes, *model.placement, *sample.notes, *asked.notes, *_said(shares)]},
        modality=model.modality.name, task=model.task.name, values=shares.values, base_value=shares.base,
        names=sample.columns, features=sample.cells,
    )  # fmt: skip


def _said(shares: Shares) -> list[str]:
    """Return what is to be said of values that are estimated."""
    if shares.stderr is None:
        return []
    return [
        f"the values are estimates from {shares.samples} random orders of the columns, each with its standard error; "
        "more samples make it smaller"
    ]


def _picked(closed: Closed, known: _Known, goal: Target) -> Shares:
    """Return the shares of a target, of those of every number."""
    values, base = (each[..., goal.indices] @ goal.coefficients.astype(np.float64) for each in known)
    return Shares(values, float(base), closed.way, forwards=1)


def _shares(asked: _Asked, sample: Sample, goal: Target) -> Shares:
    """Return the shares of a row's columns, by the first way that is exact within what was asked for."""
    assert sample.row is not None
    common, seed = asked.request.common, asked.request.seed
    game = Game(partial(_score, asked, goal), sample.row, asked.background.values)
    most = ROWS if common.forwards is None else common.forwards
    if len(game.players) <= MOST and rows_of(game) <= most:
        values = exact_values(game)
        return Shares(values, _base(game), COALITIONS, forwards=game.runs)
    found = estimated_values(game, asked.request.steps.options["samples"], seed, common)
    about = {} if found.stopped is None else {"stopped": found.stopped}
    return Shares(found.values, _base(game), ORDERS, found.stderr, found.orders, game.runs, about)


def _base(game: Game) -> float:
    return float(game.means(np.zeros((1, len(game.players)), bool))[0])


def _score(asked: _Asked, goal: Target, rows: Doubles) -> Doubles:
    """Return the score of a target, of rows [n, F]."""
    found = asked.request.model.run_rows(asked.scored.program, rows)[SCORES]
    return np.asarray(found[:, goal.indices].astype(np.float64) @ goal.coefficients)
