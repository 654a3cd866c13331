"""Explaining rows of a table: their columns' shares of a score, in closed form, by all coalitions, or estimated."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError, UnsupportedError, UsageError
from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.manifest import manifest_of
from onnxsal.explanation.method_plan import Common, MethodPlan
from onnxsal.explanation.outcome import Outcome
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.shapley.background import Background, background_of
from onnxsal.explanation.shapley.closed import OF_TREES, Closed, Form, closed_form
from onnxsal.explanation.shapley.exact import MOST, ROWS, exact_values, rows_of
from onnxsal.explanation.shapley.game import Game
from onnxsal.explanation.shapley.margins import MARGIN, SCORES, Scored, check_margins, scored
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

_TOGETHER = 2**24
"""Values that are worked out at once, of rows by columns by numbers of the score: 128 MiB."""

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
    seconds: float = 0.0
    about: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class _Asked:
    """What the rows of one call have in common."""

    request: Request
    scored: Scored
    background: Background
    closed: Closed | None
    about: Mapping[str, Any]
    """What of the background makes a map again."""
    manifests: dict[Any, dict[str, Any]] = field(default_factory=dict)
    """What the manifests of a target have in common: of thousands of rows it is made once."""


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
    step = max(_TOGETHER // (rows.values.shape[1] * max(model.task.size, 1)), 1)
    for first in range(0, len(rows), step):
        try:
            for explained in _of_several(asked, rows.part(first, first + step), targets):
                found.append(explained)
        except KeyboardInterrupt:  # those before it are whole
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
    check_margins(model, explained, rows.values if background.by_covers else background.values)
    form: Form | None = model.program(("closed", options.score), lambda: closed_form(explained.program, SCORES))
    against = _against(model, form, background)
    return _Asked(replace(request, score=explained.kind), explained, background, against, background.about())


def _against(model: Model, form: Form | None, background: Background) -> Closed | None:
    """Return a closed form against the background. Raises: UnsupportedError: covers need one."""
    if background.by_covers:
        if form is None:
            raise UnsupportedError(OF_TREES)
        return form.by_covers(model, background.values.shape[1])
    return None if form is None else form.against(model, background.values)


def _of_several(asked: _Asked, rows: TableRows, targets: Sequence[TargetSource]) -> Iterator[Explanation]:
    """Yield the explanations of rows that are run together as far as they can be."""
    model, started = asked.request.model, time.perf_counter()
    numbers = model.numbers_of_rows(rows.values)
    known = None if asked.closed is None else asked.closed.values(rows.values)
    took = round((time.perf_counter() - started) / len(rows), 6)
    for at in range(len(rows)):
        sample = table_in(model).sample(rows, at, model.anatomy.entry.dtype)
        own = {kind: each[at] for kind, each in numbers.items()}
        if not all(np.isfinite(each).all() for each in own.values()):
            own = dict(model.numbers(sample))  # says why
        for target in targets:
            goal = _aimed(asked, target, own, sample)
            own_shares = None if known is None else (known[0][at], known[1])
            shares = _shares(asked, sample, goal) if own_shares is None else _picked(asked, own_shares, goal, took)
            explained = _explained(asked, sample, shares, own, goal)
            yield explained
            if explained.manifest.get("stopped") == "interrupted":
                return


def _aimed(asked: _Asked, target: TargetSource, numbers: Numbers, sample: Sample) -> Target:
    model, kind = asked.request.model, asked.scored.kind
    goal = model.task.aimed(resolve_target(model, target, numbers, sample), kind)
    if goal.program is not None or goal.kind not in (None, kind):
        raise UsageError(f"target={target!r}: values of columns are of the model's own numbers, {kind}")
    return goal


def _explained(asked: _Asked, sample: Sample, shares: Shares, numbers: Numbers, goal: Target) -> Explanation:
    _check_finite(asked, sample, shares)
    model = asked.request.model
    raw = shares.values.astype(np.float32)
    score, logit = model.task.shown(goal, numbers)
    if asked.scored.kind == MARGIN and np.isnan(logit):
        logit = shares.base + float(shares.values.sum())
    most = float(np.abs(raw).max(initial=0.0))
    return Explanation(
        saliency=raw / np.float32(most) if most else raw, raw=raw,
        stderr=None if shares.stderr is None else shares.stderr.astype(np.float32), target=goal.target,
        label=goal.label, score=score, logit=logit, image=None, box=None, photo=None, name=sample.name, sample=sample,
        manifest=_manifest(asked, sample, shares, goal), modality=model.modality.name, task=model.task.name,
        values=shares.values, base_value=shares.base, names=sample.columns, features=sample.cells,
    )  # fmt: skip


def _manifest(asked: _Asked, sample: Sample, shares: Shares, goal: Target) -> dict[str, Any]:
    """Return what makes the shares again, and what is to be said of them."""
    key, model = (goal.target, goal.label, shares.way), asked.request.model
    if key not in asked.manifests:
        outcome = Outcome(np.zeros(0, np.float32), None, {}, 0, 0, about={**asked.about, "way": shares.way})
        asked.manifests[key] = manifest_of(asked.request, outcome, goal, "signed")
    errors = {} if shares.stderr is None else {"relative_error": relative_error(shares.values, shares.stderr)}
    notes = [*model.notes, *model.placement, *sample.notes, *asked.background.notes, *_said(shares)]
    return {
        **asked.manifests[key], "base_value": shares.base, "samples": shares.samples, "forwards": shares.forwards,
        "seconds": shares.seconds, **errors, **(shares.about or {}), "notes": notes,
    }  # fmt: skip


def _check_finite(asked: _Asked, sample: Sample, shares: Shares) -> None:
    """Raise UsageError where values are none, as the model gives no number for rows in which something is missing."""
    if np.isfinite(shares.values).all() and np.isfinite(shares.base):
        return
    missing = np.flatnonzero(np.isnan(asked.background.values).any(axis=0))
    names = [repr(sample.columns[column]) for column in missing]
    if names:
        raise UsageError(
            f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} missing in the background, and the model gives "
            "no number then: it takes no missing values"
        )
    raise ModelError(f"{sample.name}: the model gives no number for rows that are mixed of it and the background")


def _said(shares: Shares) -> list[str]:
    """Return what is to be said of values that are estimated."""
    if shares.stderr is None:
        return []
    return [
        f"the values are estimates from {shares.samples} random orders of the columns, each with its standard error; "
        "more samples make it smaller"
    ]


def _picked(asked: _Asked, known: _Known, goal: Target, seconds: float) -> Shares:
    """Return the shares of a target, of those of every number."""
    assert asked.closed is not None
    values, base = (each[..., goal.indices] @ goal.coefficients.astype(np.float64) for each in known)
    return Shares(values, float(base), asked.closed.way, forwards=1, seconds=seconds)


def _shares(asked: _Asked, sample: Sample, goal: Target) -> Shares:
    """Return the shares of a row's columns, by the first way that is exact within what was asked for."""
    assert sample.row is not None
    started = time.perf_counter()
    common, seed = asked.request.common, asked.request.seed
    game = Game(partial(_score, asked, goal), sample.row, asked.background.values)
    most = ROWS if common.forwards is None else common.forwards
    if len(game.players) <= MOST and rows_of(game) <= most:
        values = exact_values(game)
        return Shares(values, _base(game), COALITIONS, forwards=game.runs, seconds=_since(started))
    found = estimated_values(game, asked.request.steps.options["samples"], seed, common)
    about = {} if found.stopped is None else {"stopped": found.stopped}
    return Shares(found.values, _base(game), ORDERS, found.stderr, found.orders, game.runs, _since(started), about)


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 4)


def _base(game: Game) -> float:
    return float(game.means(np.zeros((1, len(game.players)), bool))[0])


def _score(asked: _Asked, goal: Target, rows: Doubles) -> Doubles:
    """Return the score of a target, of rows [n, F]."""
    found = asked.request.model.run_rows(asked.scored.program, rows)[SCORES]
    return np.asarray(found[:, goal.indices].astype(np.float64) @ goal.coefficients)
