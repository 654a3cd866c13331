"""Sums of ensembles, functions of a tree and selections of columns against margins computed one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_trees import TESTS, drawn, newer, node_of, older, values

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.trees import Ensemble, added, ensemble_of, mapped, over
from onnxsal.trees.shapley import interventional

RNG = np.random.default_rng(0)
ROWS = values(RNG, 200, 6)


def drawn_ensemble(count: int = 3, **more: Any) -> Ensemble:
    return ensemble_of(node_of(newer([drawn(RNG, 4, [0], TESTS) for _ in range(count)], n_targets=1, **more)))


def test_a_sum_is_the_sum_of_margins_and_of_values() -> None:
    voters = [drawn_ensemble(), drawn_ensemble(2), over(drawn_ensemble(), np.array([5, 4, 1, 0]))]
    together = added(voters, [0.5, -2.0, 0.25])
    parts = [0.5 * voters[0].margins(ROWS), -2 * voters[1].margins(ROWS), 0.25 * voters[2].margins(ROWS)]
    np.testing.assert_allclose(together.margins(ROWS), sum(parts), atol=1e-12)
    each = [interventional(voter, ROWS, ROWS[:9])[0] for voter in voters]
    found = interventional(together, ROWS, ROWS[:9])[0]
    np.testing.assert_allclose(found, 0.5 * each[0] - 2 * each[1] + 0.25 * each[2], atol=1e-12)


def test_classifiers_of_one_column_are_added_as_what_they_say() -> None:
    voters = [
        ensemble_of(node_of(older("TreeEnsembleClassifier", [drawn(RNG, 3, [0])], classlabels_int64s=[0, 1])))
        for _ in range(2)
    ]
    expected = voters[0].margins(ROWS) + voters[1].margins(ROWS)
    np.testing.assert_allclose(added(voters).margins(ROWS), expected, atol=1e-12)


def test_a_selection_reads_the_columns_that_were_picked() -> None:
    picked = np.array([5, 0, 3, 1])
    ensemble = drawn_ensemble()
    np.testing.assert_array_equal(over(ensemble, picked).margins(ROWS), ensemble.margins(ROWS[:, picked]))
    with pytest.raises(UsageError, match="are picked"):
        over(ensemble, picked[:1])


def test_a_function_of_one_tree_is_one_tree() -> None:
    one = drawn_ensemble(1)
    several = mapped(one, lambda margins: np.concatenate([margins**2, np.exp(margins)], axis=1), "squares")
    expected = np.concatenate([one.margins(ROWS) ** 2, np.exp(one.margins(ROWS))], axis=1)
    np.testing.assert_allclose(several.margins(ROWS), expected, rtol=1e-12)
    with pytest.raises(UnsupportedError, match="3 trees; a function of their sum"):
        mapped(drawn_ensemble(), np.square, "squares")


def test_what_cannot_be_added_is_refused() -> None:
    with pytest.raises(UsageError, match="outputs or types differ"):
        added([drawn_ensemble(), ensemble_of(node_of(newer([{0: 1.0}], n_targets=2)))])
    with pytest.raises(UsageError, match="no ensembles"):
        added([])
