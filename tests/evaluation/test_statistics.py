"""Intervals, tests and correction against closed forms, slow twins and worked examples."""

from __future__ import annotations

import re

import numpy as np
import pytest

from onnxsal.evaluation import About, Row, differences, means, summarise
from onnxsal.evaluation.statistics import DRAWS, FLIPS, holm, interval, sign_flips
from onnxsal.metrics import registry


def sign_flip(gaps: np.ndarray) -> float:
    return float(sign_flips(gaps[:, None])[0])


def test_holm_as_worked_by_hand() -> None:
    """0.01 x 4, 0.02 x 3 but not below 0.04, 0.03 x 2, 0.6 x 1 but not below the one before."""
    assert holm([0.03, 0.01, 0.6, 0.02]) == pytest.approx([0.06, 0.04, 0.6, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_sign_test_is_exact_for_few_pictures() -> None:
    """Of eight patterns of three signs only all plus and all minus are as far from 0."""
    assert sign_flip(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)
    assert sign_flip(np.array([1.0, -1.0])) == 1.0
    assert sign_flip(np.zeros(5)) == 1.0


def test_the_sign_test_of_many_pictures_is_near_the_normal_one() -> None:
    gaps = np.random.default_rng(1).normal(0.15, 1, 150)
    from math import erfc, sqrt

    z = abs(gaps.sum()) / np.sqrt((gaps**2).sum())
    assert sign_flip(gaps) == pytest.approx(erfc(z / sqrt(2)), abs=4 * np.sqrt(0.25 / FLIPS) + 0.005)


def test_under_no_difference_the_test_is_seldom_wrong() -> None:
    random = np.random.default_rng(2)
    wrong = np.mean([sign_flip(random.normal(0, 1, 12)) < 0.05 for _ in range(400)])
    assert 0.02 < wrong < 0.08


def test_an_interval_is_the_bootstrap_done_slowly() -> None:
    column = np.array([0.1, 0.9, np.nan, 0.4, 0.7, 0.2, 0.8, 0.3, 0.6, 0.5, 1.0])
    draws = np.random.default_rng(0).integers(0, 11, (DRAWS, 11))
    slow = []
    for draw in draws:
        drawn = [column[i] for i in draw if column[i] == column[i]]
        if drawn:
            slow.append(sum(drawn) / len(drawn))
    assert interval(column, draws) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=1e-12)


def test_an_interval_of_many_is_that_of_the_normal() -> None:
    values = np.random.default_rng(3).normal(5, 2, 400)
    found = means({"m": {str(i): v for i, v in enumerate(values)}})["m"]
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert found.n == 400


def test_differences_are_taken_picture_by_picture() -> None:
    """Pictures differ far more than methods: a paired comparison sees it, the intervals of the means do not."""
    level = np.random.default_rng(4).normal(0, 10, 40)
    gap = np.random.default_rng(5).normal(0.5, 0.2, 40)
    values = {"a": {str(i): v for i, v in enumerate(level + gap)}, "b": {str(i): v for i, v in enumerate(level)}}
    (found,) = differences(values)
    assert found.value == pytest.approx(gap.mean())
    assert found.more_than_chance and found.low > 0
    both = means(values)
    assert both["a"].low < both["b"].high


def test_pictures_that_one_method_lacks_do_not_count() -> None:
    values = {"a": {"x": 1.0, "y": 2.0, "z": float("nan")}, "b": {"x": 0.5, "z": 3.0}, "c": {}}
    (found,) = differences(values)
    assert (found.a, found.b, found.n, found.value) == ("a", "b", 1, 0.5)
    assert means(values)["c"].n == 0


def summary_of(values: dict[str, list[float]], higher: bool) -> set[str]:
    rows = [Row(str(i), 0, "c", 1.0, method, "m", v) for method, each in values.items() for i, v in enumerate(each)]
    about = About("m", "", higher)
    return summarise(rows, [about]).level(about)


def test_the_best_and_what_may_equal_it() -> None:
    random = np.random.default_rng(6)
    base = random.normal(0, 1, 60)
    values = {
        "good": (base + 1).tolist(),
        "as good": (base + 1 + random.normal(0, 0.5, 60)).tolist(),
        "bad": base.tolist(),
    }
    assert summary_of(values, higher=True) == {"good", "as good"}
    assert summary_of(values, higher=False) == {"bad"}


def test_columns_are_tested_alone() -> None:
    gaps = np.random.default_rng(7).normal(0.1, 1, (40, 3))
    assert sign_flips(gaps).tolist() == [sign_flip(column) for column in gaps.T]


@pytest.mark.parametrize("count", [3, 4, 6, 9, 10, 20])
def test_intervals_of_few_cover_the_mean_too(count: int) -> None:
    random = np.random.default_rng(count)
    covered = []
    for _ in range(400):
        values = random.normal(3, 1, count)
        low, high = interval(values, random.integers(0, count, (DRAWS, count)))
        covered.append(low <= 3 <= high)
    assert 0.88 <= np.mean(covered) <= 0.985


def test_students_interval_by_hand_and_none_of_one_or_two_pictures() -> None:
    found = means({"m": {"a": 1.0, "b": 2.0, "c": 6.0}})["m"]
    half = 4.303 * np.sqrt(7.0) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))
    for values in ({"a": 1.0}, {"a": 0.0, "b": 2.0}):
        few = means({"m": values})["m"]
        assert few.value == 1.0 and np.isnan(few.low) and np.isnan(few.high)


def test_an_interval_stays_where_values_can_be() -> None:
    values = {"m": {"a": 0.0, "b": 0.1, "c": 0.9}}
    wide, within = means(values)["m"], means(values, (0, 1))["m"]
    assert wide.low < 0 and wide.high > 1
    assert (within.low, within.high, within.value) == (0, 1, wide.value)
    assert np.isnan(means({"m": {"a": 0.0}}, (0, 1))["m"].low)


def test_a_difference_stays_where_the_ends_allow_one() -> None:
    values = {"a": dict(zip("xyz", (1.0, 1.0, 0.0), strict=True)), "b": dict.fromkeys("xyz", 0.0)}
    (wide,), (within,) = differences(values), differences(values, (0, 1))
    assert wide.low < -0.7 and wide.high > 1
    assert (within.low, within.high, within.value) == (wide.low, 1, wide.value)
    few = {name: {k: v for k, v in each.items() if k != "z"} for name, each in values.items()}
    assert np.isnan(differences(few, (0, 1))[0].low)


@pytest.mark.parametrize("name", registry.names())
def test_every_metric_knows_its_ends(name: str) -> None:
    """What each returns is in its docstring, and its ends must be those."""
    judge = registry.get(name)
    told = (judge.judge.__doc__ or "").replace("\n", " ")
    low, high = judge.ends
    if re.search(r", \[0, 1\]|Return 1 where|0 \(all equal\) to 1", told):
        assert (low, high) == (0, 1)
    elif "[-1, 1]" in told:
        assert (low, high) == (-1, 1)
    else:
        assert re.search(r">= 0|Return \||0 to log HW", told)
        assert (low, high) == (0, np.inf)
