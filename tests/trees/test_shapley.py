"""Exact Shapley values against all coalitions, closed forms, and the sum rule."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from tiny_trees import TESTS, covered, drawn, flat, newer, node_of, older, values

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.trees import ensemble_of, shapley
from onnxsal.trees.shapley import interventional, path_dependent

RNG = np.random.default_rng(0)


def over_all_coalitions(worth_of: Callable[[Any], Any], players: Any) -> Any:
    """Return Shapley values [rows, players, outputs] by their definition: of what columns inside are worth."""
    count = max(players) + 1
    value = {
        coalition: worth_of(np.array([player >= 0 and coalition[player] for player in players]))
        for coalition in itertools.product([False, True], repeat=count)
    }
    rows, outputs = next(iter(value.values())).shape
    found = np.zeros((rows, count, outputs))
    for coalition, worth in value.items():
        for player in np.flatnonzero(~np.array(coalition)):
            more = (*coalition[:player], True, *coalition[player + 1 :])
            weight = 1 / (count * math.comb(count - 1, sum(coalition)))
            found[:, player] += weight * (value[more] - worth)
    return found


def against(score: Callable[[Any], Any], x: Any, background: Any) -> Callable[[Any], Any]:
    """Return what columns inside are worth: the mean over the background, all others taken from it."""

    def worth(inside: Any) -> Any:
        mixed = np.where(inside, x[:, None], background[None]).reshape(-1, x.shape[1])
        return score(mixed).reshape(len(x), len(background), -1).mean(axis=1)

    return worth


def planned(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Have all leaves tabulated, or none, or all of it done without kernels."""
    if how == "few":
        monkeypatch.delattr(shapley, "plan")
        return
    monkeypatch.setattr(shapley, "FEW", -1)
    plan = shapley.plan
    sizes = {"tables": (10**9, 10**6, shapley.ALONE), "pairs": (1, 1, -1)}[how]
    monkeypatch.setattr(shapley, "plan", lambda *given: plan(*given[:-1], sizes))


@pytest.mark.parametrize(("how", "threads"), [("tables", 1), ("tables", 3), ("pairs", 1), ("pairs", 3), ("few", 1)])
@pytest.mark.parametrize("players", [[0, 1, 2, 3, 4, 5], [0, 1, 1, 2, 0, 3]], ids=["columns", "groups"])
def test_they_are_those_of_all_coalitions(
    players: list[int], how: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(monkeypatch, how)
    x, background = values(RNG, 2 if how == "pairs" else 9, 6), values(RNG, 11, 6)
    of_both = [drawn(RNG, 7, [0, 1], features=6) for _ in range(4)]
    two = older("TreeEnsembleRegressor", of_both, order=RNG, n_targets=2, base_values=[1.0, 2.0])
    logistic = {"classlabels_int64s": [0, 1], "post_transform": "LOGISTIC"}
    binary = older("TreeEnsembleClassifier", [drawn(RNG, 6, [0], features=6) for _ in range(4)], **logistic)
    one_each = newer([drawn(RNG, 6, [int(c)], TESTS, 6) for c in RNG.integers(3, size=7)], n_targets=4)
    for proto in (two, binary, one_each):
        ensemble = ensemble_of(node_of(proto))
        found, base = interventional(ensemble, x, background, players, threads=threads)
        expected = over_all_coalitions(against(ensemble.margins, x, background), players)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
        np.testing.assert_allclose(found.sum(axis=1) + base, ensemble.margins(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("few", [-1, shapley.FEW], ids=["kernels", "few"])
@pytest.mark.parametrize("count", [12, 24, 70])
def test_a_path_of_many_players_has_its_closed_form(count: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapley, "FEW", few)
    tree: Any = {0: 3.0}
    for feature in range(count):
        tree = (feature, "GT", 0.0, False, tree, {0: 0.0})
    ensemble = ensemble_of(node_of(older("TreeEnsembleRegressor", [tree], n_targets=1)))
    apart = [(0, count), (3, count - 1), (2, 5), (count, count)]  # columns from the first to the second are the row's
    for begin, end in apart:
        row, other = np.ones((1, count)), np.ones((1, count))
        row[0, :begin], other[0, begin:end] = -1, -1
        inside, outside = end - begin, begin
        found, _ = interventional(ensemble, np.repeat(row, 70, 0), other)
        expected = np.zeros(count)
        if inside:
            expected[begin:end] = 3 / (inside * math.comb(inside + outside, inside))
        if outside:
            expected[:begin] = -3 / (outside * math.comb(inside + outside, outside))
        np.testing.assert_allclose(found[..., 0], np.repeat(expected[None], 70, 0), rtol=1e-11, atol=1e-16)


def test_shares_of_many_players_do_not_vanish_where_one_side_has_few() -> None:
    found = shapley.shares(1201)
    for p, total in (
        (0, 1200),
        (3, 1200),
        (600, 1200),
        (1197, 1200),
        (1199, 1200),
        (1200, 1200),
        (2, 3),
        (1, 2),
        (0, 0),
    ):
        np.testing.assert_allclose(found[p, total], float(Fraction(1, math.comb(total, p))), rtol=1e-11)


def test_what_is_cheapest_changes_nothing_and_many_rows_keep_the_sum_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = [drawn(RNG, 10, [0], features=30) for _ in range(3)]
    ensemble = ensemble_of(node_of(older("TreeEnsembleRegressor", trees, n_targets=1)))
    rows, background = values(RNG, 2500, 30), values(RNG, 90, 30)
    found, base = interventional(ensemble, rows, background)
    np.testing.assert_allclose(found.sum(axis=1) + base, ensemble.margins(rows), rtol=0, atol=1e-12)
    planned(monkeypatch, "pairs")
    few = slice(2040, 2060)  # across the blocks that rows go through trees in
    np.testing.assert_allclose(found[few], interventional(ensemble, rows[few], background)[0], rtol=0, atol=1e-12)


def test_a_column_that_depends_on_nothing_is_nobody_s() -> None:
    tree = (0, "GT", 0.0, False, (1, "GT", 0.0, False, {0: 1.0}, {0: 2.0}), (1, "GT", 0.0, True, {0: 4.0}, {0: 8.0}))
    ensemble = ensemble_of(node_of(older("TreeEnsembleRegressor", [tree], n_targets=1)))
    rows, background = np.array([[1.0, np.nan], [-1.0, np.nan]]), np.array([[-1.0, np.nan]])
    found, base = interventional(ensemble, rows, background, [0, -1])
    assert (found[..., 0].tolist(), base.tolist()) == ([[-2.0], [0.0]], [4.0])
    with pytest.raises(UsageError, match="column 0 is nobody's"):
        interventional(ensemble, rows, background, [-1, 0])


def test_what_does_not_fit_is_refused() -> None:
    ensemble = ensemble_of(node_of(older("TreeEnsembleRegressor", [(1, "LT", 0.0, False, {}, {0: 1.0})], n_targets=1)))
    rows = np.zeros((3, 2))
    with pytest.raises(UsageError, match="background has no rows"):
        interventional(ensemble, rows, rows[:0])
    with pytest.raises(UsageError, match="rows have 2 columns, the background 3"):
        interventional(ensemble, rows, np.zeros((3, 3)))
    for players in ([0], [0, -2], [0.0, 1.0]):
        with pytest.raises(UsageError, match="one for each of 2 columns"):
            interventional(ensemble, rows, rows, players)
    assert interventional(ensemble, rows[:0], rows)[0].shape == (0, 2, 1)
    nothing = ensemble_of(node_of(older("TreeEnsembleRegressor", [], n_targets=2)))
    assert interventional(nothing, rows, rows)[0].shape == (3, 2, 2)


@pytest.mark.parametrize("players", [[0, 1, 2, 3, 4], [0, 1, 1, 2, 0]], ids=["columns", "groups"])
def test_path_dependent_ones_follow_covers_where_nobody_is_inside(
    players: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, tree = values(RNG, 40, 5), (0, "LT", 0.1, True, *(drawn(RNG, 6, [0], features=5) for _ in range(2)))
    covers, nodes = covered(RNG, tree), flat(tree)
    proto = older("TreeEnsembleRegressor", [tree], n_targets=1, base_values=[3.0], nodes_hitrates=covers)

    def worth(row: Any, inside: Any, at: int = 0) -> float:
        node, yes, no = nodes[at]
        if isinstance(node, dict):
            return node[0]
        if not inside[node[0]]:
            return sum(covers[end] / covers[at] * worth(row, inside, end) for end in (yes, no))
        alone = [(node[0], *node[1:4], {0: 1.0}, {0: 0.0})]
        holds = ensemble_of(node_of(older("TreeEnsembleRegressor", alone, n_targets=1))).margins(row[None])[0, 0]
        return worth(row, inside, yes if holds else no)

    few = x[:4]
    expected = over_all_coalitions(lambda inside: np.array([[worth(row, inside)] for row in few]), players)
    ensemble = ensemble_of(node_of(proto))
    found, base = path_dependent(ensemble, x, players)
    monkeypatch.setattr(shapley, "FEW", -1)
    np.testing.assert_allclose(path_dependent(ensemble, x, players)[0], found, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found[:4], expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.sum(axis=1) + base, ensemble.margins(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("covers", "said"),
    [(None, "no nodes_hitrates"), ([1.0, 1.0, 1.0], "1 everywhere"), ([9.0, 4.0, 4.0], "do not add up")],
)
def test_files_without_covers_are_refused_and_told_why(covers: Any, said: str) -> None:
    more = {} if covers is None else {"nodes_hitrates": covers}
    proto = older("TreeEnsembleRegressor", [(0, "LT", 0.0, False, {0: 1.0}, {0: 2.0})], n_targets=1, **more)
    with pytest.raises(UnsupportedError, match=f"{said}.*; give a background"):
        path_dependent(ensemble_of(node_of(proto)), np.zeros((2, 1)))
