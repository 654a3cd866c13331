"""Intervals against published values, closed forms and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxsal.experiments.statistics import Estimate, grouped_share, mean, pair_mean, share


def test_three_values_have_students_interval() -> None:
    found = mean([1.0, 2.0, 3.0])
    assert (found.value, found.n) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)), abs=1e-9)


def test_one_value_has_none_and_nothing_is_nan() -> None:
    assert mean([5.0]).value == 5.0
    assert math.isnan(mean([5.0]).low)
    assert math.isnan(mean([float("nan")]).value)
    assert str(mean([])) == "-"
    assert str(mean([5.0])) == "5.000"


def test_nan_is_left_out() -> None:
    assert mean([1.0, float("nan"), 3.0]).value == 2.0
    assert mean([1.0, float("nan"), 3.0]).n == 2


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [mean(rng.exponential(1.0, 40)) for _ in range(200)]
    inside = sum(each.low <= 1.0 <= each.high for each in found)
    assert 0.86 <= inside / 200 <= 0.99


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3 (81/263, 15/148, 0/20, 1/29).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares_have_wilsons_interval(hits: int, of: int, low: float, high: float) -> None:
    found = share(hits, of)
    assert found.value == hits / of
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_no_trials_no_share() -> None:
    assert math.isnan(share(0, 0).value)
    assert math.isnan(grouped_share([], []).value)


def test_persons_who_agree_leave_more_doubt_than_as_many_independent_answers() -> None:
    """Ten persons of ten answers, each always the same: the answers of one person are one answer."""
    hits, of = [10] * 5 + [0] * 5, [10] * 10
    grouped, single = grouped_share(hits, of), share(50, 100)
    assert grouped.value == single.value == 0.5
    assert grouped.high - grouped.low > 2 * (single.high - single.low)


def test_one_group_is_taken_as_trials() -> None:
    assert grouped_share([3], [10]) == share(3, 10)


def test_persons_who_all_agree_still_leave_doubt() -> None:
    """Two of two, Student's t of one degree: the lower end is n / (n + t^2), as Wilson's is of n hits of n."""
    found = grouped_share([1, 1], [1, 1])
    assert (found.value, found.low, found.high, found.n) == (1.0, pytest.approx(2 / (2 + 12.706**2)), 1.0, 2)
    assert grouped_share([0, 0], [1, 1]).high == pytest.approx(1 - 2 / (2 + 12.706**2))
    # All answers of all persons alike: nothing tells a person's ten answers from one.
    assert grouped_share([10, 10, 10], [10, 10, 10]).low == pytest.approx(3 / (3 + 4.303**2))


def test_a_group_without_trials_is_none() -> None:
    assert grouped_share([3, 0], [10, 0]) == share(3, 10)
    assert grouped_share([3, 4, 0], [10, 5, 0]) == grouped_share([3, 4], [10, 5])


@pytest.mark.parametrize(("persons", "answers"), [(2, 5), (3, 1), (4, 5), (10, 10), (30, 5)])
@pytest.mark.parametrize("truth", [0.5, 1 / 3, 0.2])
def test_grouped_shares_cover_the_truth(persons: int, answers: int, truth: float) -> None:
    """Persons who differ: each one's chance is of a beta distribution, so that two answers of one correlate by 0.3.

    With two or three persons the interval is wider than it would have to be: how alike they are is not known.
    """
    rng = np.random.default_rng(0)
    strength = (1 - 0.3) / 0.3
    chances = rng.beta(truth * strength, (1 - truth) * strength, (600, persons))
    found = [grouped_share(each, [answers] * persons) for each in rng.binomial(answers, chances)]
    covered = sum(each.low <= truth <= each.high for each in found) / len(found)
    assert 0.92 <= covered <= (0.99 if persons >= 10 else 1.0)
    assert min(each.high - each.low for each in found) > 0.05


def test_three_units_have_the_jackknifes_interval() -> None:
    """Pairs of 1, 2 and 6: without each unit one pair is left; sqrt(2/3 * (4 + 1 + 9)) is the standard error."""
    found = pair_mean(np.array([[9.0, 1, 2], [1, 9, 6], [2, 6, 9]]))
    half = 4.303 * math.sqrt(2 / 3 * 14)
    assert (found.value, found.n) == (3.0, 3)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))


def test_a_single_pair_has_a_mean_and_no_interval() -> None:
    found = pair_mean(np.array([[1.0, 0.5], [0.5, 1.0]]))
    assert (found.value, found.n) == (0.5, 2)
    assert math.isnan(found.low) and math.isnan(found.high)
    assert math.isnan(pair_mean(np.ones((1, 1))).value)


@pytest.mark.parametrize("units", [3, 5, 10])
@pytest.mark.parametrize("own", [0.0, 1.0])
def test_means_over_pairs_cover_the_truth(units: int, own: float) -> None:
    """Pairs add up what their units bring, and something of their own; their mean is 0."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        brought, noise = rng.normal(size=units), own * rng.normal(size=(units, units))
        found = pair_mean(brought[:, None] + brought[None] + (noise + noise.T) / 2)
        covered += found.low <= 0 <= found.high
    assert 0.92 <= covered / 600 <= 0.99


def test_an_interval_stays_where_values_can_be() -> None:
    found = mean([0.2, 0.9, 1.0])
    assert found.high > 1
    assert found.within(-1, 1) == Estimate(found.value, max(found.low, -1), 1, 3)
    assert np.isnan(mean([0.5]).within(0, 1).low)
