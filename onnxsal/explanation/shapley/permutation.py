"""Shapley values by random orders of the columns, each with its reverse, and their standard errors.

Castro, Gomez, Tejada 2009, Polynomial calculation of the Shapley value based on sampling; Mitchell et al. 2022,
arXiv:2104.12199, of antithetic orders. Of every order the values add up to the row's score minus the background's mean.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.explanation.method_plan import Common
from onnxsal.explanation.shapley.game import Game

Doubles = NDArray[np.float64]

_FEWEST = 2
"""Pairs that an error is told from."""


@dataclass(frozen=True)
class Estimate:
    """Values of columns [F], their standard errors, how many orders were drawn, and what ended it."""

    values: Doubles
    stderr: Doubles
    orders: int
    stopped: str | None = None


def estimated_values(game: Game, orders: int, seed: int, common: Common) -> Estimate:
    """Return the mean of the values in some random orders, an even number of them.

    Limits: ``forwards`` rows through the model, ``seconds``, ``tolerance`` (relative standard error).
    Raises: UsageError: ``forwards`` is too few for two pairs of orders.
    """
    started, found, stopped = time.perf_counter(), list[Doubles](), None
    ends = game.means(np.array([[False], [True]]) & np.ones(len(game.players), bool))
    pairs = max((orders + 1) // 2, _FEWEST)
    cost = 2 * (len(game.players) - 1) * len(game.background)
    least = game.runs + _FEWEST * cost
    if common.forwards is not None and common.forwards < least:
        raise UsageError(
            f"forwards={common.forwards}: {len(game.players)} columns and {len(game.background)} background rows take "
            f"{least} rows through the model at least, of two orders and their reverses; less background takes fewer"
        )
    try:
        for number in range(pairs):
            found.append(_pair(game, ends, np.random.default_rng((seed, number))))
            if common.progress is not None:
                common.progress(number + 1, pairs)
            stopped = _stopped(game, found, common, started, cost) if number + 1 < pairs else None
            if stopped is not None:
                break
    except KeyboardInterrupt:
        if not common.keep_partial or len(found) < _FEWEST:
            raise
        stopped = "interrupted"
    values, stderr = _mean(found)
    return Estimate(game.spread(values), game.spread(stderr), 2 * len(found), stopped)


def _stopped(game: Game, found: list[Doubles], common: Common, started: float, cost: int) -> str | None:
    """Return the limit that is reached; none before an error can be told."""
    if len(found) < _FEWEST:
        return None
    if common.forwards is not None and game.runs + cost > common.forwards:
        return "forwards"
    if common.seconds is not None and time.perf_counter() - started >= common.seconds:
        return "seconds"
    return "tolerance" if common.tolerance is not None and relative_error(*_mean(found)) <= common.tolerance else None


def relative_error(values: Doubles, stderr: Doubles) -> float:
    """Return the size of the errors relative to that of the values; 0 where there are no errors."""
    size = float(np.linalg.norm(values))
    error = float(np.linalg.norm(stderr))
    return error / size if size else float(error > 0)


def _mean(found: list[Doubles]) -> tuple[Doubles, Doubles]:
    each = np.array(found)
    return each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(len(each))


def _pair(game: Game, ends: Doubles, rng: np.random.Generator) -> Doubles:
    """Return the mean of the values in a random order and in its reverse, [M]."""
    order = rng.permutation(len(game.players))
    return (_values(game, ends, order) + _values(game, ends, order[::-1])) / 2


def _values(game: Game, ends: Doubles, order: NDArray[np.int64]) -> Doubles:
    """Return what each column adds when they become the row's in this order."""
    ranks = np.argsort(order)
    between = game.means(np.arange(1, len(order))[:, None] > ranks)
    return np.diff(np.concatenate([ends[:1], between, ends[1:]]))[ranks]
