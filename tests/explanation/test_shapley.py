"""Shares of columns against the file itself in ONNX Runtime, over all orders in which its columns can be replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tables import (
    BAGGED,
    CROSSED,
    LINEAR,
    MIXED,
    NAMES,
    NET,
    ROWS,
    SPLITS,
    SQUARES,
    TREES,
    UNMIXED,
    VOTE,
    form,
    pipeline,
    run,
)

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.explanation.method_plan import Common
from onnxsal.explanation.shapley.exact import exact_values
from onnxsal.explanation.shapley.game import Game
from onnxsal.explanation.shapley.permutation import estimated_values

BACKGROUND = ROWS[1:5]


def by_all_orders(
    proto: onnx.ModelProto, row: Mapping[str, Any], background: Sequence[Mapping[str, Any]], score: Callable[..., Any],
    output: str = "chances",
) -> tuple[np.ndarray, float]:  # fmt: skip
    """Return the mean of what each column adds in all orders, and the background's mean, by the file alone."""
    known: dict[frozenset[str], float] = {}

    def value(names: frozenset[str]) -> float:
        if names not in known:
            mixed = [{n: row[n] if n in names else other[n] for n in row} for other in background]
            known[names] = float(np.mean(score(run(proto, mixed, output)[0].astype(np.float64))))
        return known[names]

    found, orders = dict.fromkeys(row, 0.0), list(permutations(row))
    for order in orders:
        for i, name in enumerate(order):
            found[name] += value(frozenset(order[: i + 1])) - value(frozenset(order[:i]))
    return np.array(list(found.values())) / len(orders), value(frozenset())


def logit(chances: np.ndarray) -> np.ndarray:
    return np.log(chances[:, 1] / chances[:, 0])


def second(chances: np.ndarray) -> np.ndarray:
    return chances[:, 1]


@pytest.mark.parametrize(
    ("head", "score", "target", "of", "way"),
    [
        (LINEAR, None, 1, logit, "closed form of sums"),
        (LINEAR, "probability", 1, second, "all coalitions"),
        (TREES, None, 1, logit, "closed form of trees"),
        (TREES, "probability", 1, second, "all coalitions"),
        (NET, "probability", 1, second, "all coalitions"),
        (NET, None, (1, 0), logit, "all coalitions"),
    ],
)
def test_shares_are_those_of_the_file_in_all_orders(
    head: str, score: str | None, target: Any, of: Callable[..., Any], way: str
) -> None:
    """Words, a word that nobody knows, whole numbers, a missing cell: the columns are those of the file's inputs."""
    proto = pipeline(head)
    model = onnxsal.load(proto)
    each = onnxsal.explain(model, list(ROWS), target=target, score=score, background=list(BACKGROUND))
    for row, found in zip(ROWS, each, strict=True):
        values, base = by_all_orders(proto, row, BACKGROUND, of)
        assert found.values is not None and found.base_value is not None
        np.testing.assert_allclose(found.values, values, atol=2e-5)
        assert found.base_value == pytest.approx(base, abs=2e-5)
        (own,) = run(proto, [row], "chances")
        assert found.values.sum() + found.base_value == pytest.approx(float(of(own.astype(np.float64))[0]), abs=2e-5)
        assert (found.method, found.names, found.manifest["way"]) == ("shapley", NAMES, way)
        assert found.features[2:] == (row["sex"], row["port"])


@pytest.mark.parametrize(
    ("head", "way"),
    [
        (VOTE, "closed form of trees and closed form of sums"), (SQUARES, "closed form of sums"),
        (UNMIXED, "closed form of trees"), (BAGGED, "closed form of trees"),
        (MIXED, "all coalitions"), (CROSSED, "all coalitions"),
    ],
)  # fmt: skip
def test_a_form_is_closed_where_each_number_depends_on_one_column(head: str, way: str) -> None:
    proto, rng = form(head), np.random.default_rng(2)
    rows = [dict(zip("abc", map(float, row), strict=True)) for row in rng.normal(0, 0.5, (9, 3))]
    for row, found in zip(rows[:3], onnxsal.explain(onnxsal.load(proto), rows[:3], background=rows[3:]), strict=True):
        values, base = by_all_orders(proto, row, rows[3:], lambda found: found[:, 0], "y")
        np.testing.assert_allclose(found.values, values, atol=1e-6)
        assert (found.base_value, found.manifest["way"]) == (pytest.approx(base, abs=1e-6), way)


def test_covers_take_the_place_of_rows_where_the_file_has_them() -> None:
    """A tree on a, then b, by hand: 5 of 8 rows went down at a, of these 2 at b."""
    proto = form(f"y{SPLITS}(x)")
    row = {"a": 0.1, "b": 0.3, "c": 1.0}  # the leaf of -2; b's other one is 1.5, a's 0.75
    with pytest.raises(UnsupportedError, match="has no covers"):
        onnxsal.explain(onnxsal.load(proto), row, background="covers")
    node = next(n for n in proto.graph.node if n.op_type == "TreeEnsembleRegressor")
    node.attribute.append(onnx.helper.make_attribute("nodes_hitrates", [8.0, 5.0, 2.0, 3.0, 3.0]))
    found = onnxsal.explain(onnxsal.load(proto), row, background="covers")
    at_b = (2 * 1.5 + 3 * -2.0) / 5
    nothing, a, b, both = (5 * at_b + 3 * 0.75) / 8, at_b, (5 * -2.0 + 3 * 0.75) / 8, -2.0
    np.testing.assert_allclose(found.values, [(a - nothing + both - b) / 2, (b - nothing + both - a) / 2, 0], atol=1e-7)
    assert (found.base_value, found.manifest["background"]) == (pytest.approx(nothing), "covers")
    with pytest.raises(UnsupportedError, match="no sum of trees alone"):
        onnxsal.explain(onnxsal.load(form(VOTE)), row, background="covers")


def cubic(rows: np.ndarray) -> np.ndarray:
    """Products of columns beside each other, whose shares are known: a product's are shared by its factors."""
    return rows[:, 0] * rows[:, 1] + rows[:, 2] * rows[:, 3] * rows[:, 4] + 3 * rows[:, 5]


def test_orders_estimate_what_all_coalitions_give() -> None:
    rng = np.random.default_rng(0)
    game = Game(cubic, rng.normal(size=6), rng.normal(size=(5, 6)))
    exact = exact_values(game)
    assert exact.sum() == pytest.approx(cubic(game.row[None])[0] - cubic(game.background).mean(), abs=1e-12)
    assert exact[5] == pytest.approx(3 * (game.row[5] - game.background[:, 5].mean()), abs=1e-12)
    found = estimated_values(game, 400, 0, Common())
    assert found.values.sum() == pytest.approx(exact.sum(), abs=1e-12)
    assert (np.abs(found.values - exact) <= 4 * found.stderr + 1e-12).all() and found.stderr[2] > 0
    assert found.stderr[5] < 1e-12 and found.orders == 400, "a column that adds the same in every order has no error"
    fewer = estimated_values(game, 40, 0, Common())
    assert 2 < np.linalg.norm(fewer.stderr) / np.linalg.norm(found.stderr) < 5


def test_errors_are_those_of_other_seeds() -> None:
    rng = np.random.default_rng(1)
    game = Game(cubic, rng.normal(size=6), rng.normal(size=(3, 6)))
    each = [estimated_values(game, 20, seed, Common()) for seed in range(60)]
    spread = np.std([found.values for found in each], axis=0)[2:5]
    assert (np.abs(np.sqrt(np.mean([found.stderr**2 for found in each], axis=0))[2:5] / spread - 1) < 0.3).all()


def test_limits_end_orders() -> None:
    game = Game(cubic, np.ones(6), np.random.default_rng(0).normal(size=(2, 6)))
    found = estimated_values(game, 1000, 0, Common(forwards=500))
    assert found.stopped == "forwards" and game.runs <= 500
    assert estimated_values(game, 1000, 0, Common(tolerance=0.05)).stopped == "tolerance"
    with pytest.raises(UsageError, match="6 columns and 2 background rows take"):
        estimated_values(game, 1000, 0, Common(forwards=10))


def test_a_column_that_is_the_same_everywhere_adds_nothing_and_costs_nothing() -> None:
    background = np.array([[1.0, np.nan, 2.0, 0, 0, 0], [3.0, np.nan, 2.0, 0, 0, 0]])
    game = Game(lambda rows: rows[:, 0] + rows[:, 2], np.array([5.0, np.nan, 2.0, 0, 0, 0]), background)
    assert list(game.players) == [0]
    assert list(exact_values(game)) == [3, 0, 0, 0, 0, 0]


def test_without_a_background_several_rows_are_their_own_and_one_is_asked_for_it() -> None:
    model = onnxsal.load(pipeline(LINEAR))
    with pytest.raises(UsageError, match=r"--background FILE\.csv"):
        onnxsal.explain(model, ROWS[0])
    found = onnxsal.explain(model, list(ROWS), target=1)
    assert "the 6 rows themselves are the background" in " ".join(found[0].manifest["notes"])
    assert np.sum([each.values for each in found]) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"background": np.ones((3, 5))}, "rows of 4 columns"),
        ({"background": [ROWS[0]], "score": "value"}, "expected probability"),
        ({"background": [ROWS[0]], "layer": "features"}, "has no layers"),
        ({"background": [ROWS[0]], "patch": 3}, "no option 'patch'"),
    ],
)
def test_what_is_wrong_is_said(options: Mapping[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        onnxsal.explain(onnxsal.load(pipeline(TREES)), ROWS[0], **options)


def vector() -> onnx.ModelProto:
    """Return a model of vectors that tells no names of columns: two logits, the second linear."""
    return onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]> g (float[N, 5] x) => (float[N, 2] y)
        <float[5, 2] w = {0, 1, 0, -2, 0, 3, 0, 0.5, 0, 0}> { y = MatMul (x, w) }""")


def test_tables_for_a_model_without_names_are_held_against_one_another(tmp_path: Path) -> None:
    """A vector of floats whose file tells no names: c0 to c4."""
    rows = np.random.default_rng(3).normal(size=(6, 5)).astype(np.float32)
    explained = partial(onnxsal.explain, onnxsal.load(vector()), method="shapley", target=1)
    names = [f"c{i}" for i in range(rows.shape[1])]

    def written(name: str, names: list[str], order: slice = slice(None)) -> str:
        np.savetxt(tmp_path / name, rows[:, order], delimiter=",", header=",".join(names[order]), comments="")
        return str(tmp_path / name)

    own = written("own.csv", names)
    expected = [each.values for each in explained(rows[:2], background=rows)]
    fields = np.rec.fromarrays(rows.T.astype(float), names=names)
    for table in (fields[:2], list(fields[:2])):
        found = explained(table, background=own)
        np.testing.assert_array_equal([each.values for each in found], expected)
        assert found[0].names == tuple(names) and not any("column" in note for note in found[0].manifest["notes"])
    alone = explained([np.float32(1), *map(np.float32, rows[0, 1:])], background=own)
    assert not isinstance(alone, list), "one row"
    with pytest.raises(UsageError, match=r"column 1 is 'c0' in row, and 'c4' in turned\.csv: .*which order is right"):
        explained(fields[:2], background=written("turned.csv", names, slice(None, None, -1)))
    other = explained(fields[:2], background=written("other.csv", ["z", *names[1:]]))
    assert "column 1 is 'c0' in row, and 'z' in other.csv" in " ".join(other[0].manifest["notes"])
    with pytest.raises(UsageError, match="has 2 columns that are called 'c1'"):
        explained(written("twice.csv", ["c1", *names[1:]]), background=rows)
    with pytest.raises(UsageError, match="'background' is float64"):
        explained(rows[0], background=np.ones((3, len(names) + 1)))


def test_models_of_pictures_have_no_columns() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[N, 3, 8, 8] x) => (float[N, 3] y) {
        y = ReduceMean <keepdims = 0> (x, axes) }"""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 3]), "axes"))
    model = onnxsal.load(proto, task="classification")
    with pytest.raises(UnsupportedError, match="rows of a table"):
        onnxsal.explain(model, np.zeros((3, 8, 8), np.float32), method="shapley")
