"""Neyman's allocation against its definition, its optimum, and the bias that it is built to avoid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from onnxsal.records import Moments
from onnxsal.streaming.allocation import EVEN, STRANDS, Order, weights
from onnxsal.streaming.strands import Strands, propagated

K = 30
Array = np.ndarray


def world() -> tuple[Array, Array, Array]:
    """Sizes of maps, means of their scores and the share of noise in them: all of them differ much."""
    rng = np.random.default_rng(4)
    return np.exp(rng.normal(0, 1, K)), np.exp(rng.normal(-3, 1.5, K)), np.full(K, 0.7)


def draw(rng: np.random.Generator, masks: Array) -> Array:
    """Scores above 0 of the right means: lognormal."""
    _, means, share = world()
    spread = np.sqrt(np.log1p(share[masks] ** 2))
    return means[masks] * np.exp(spread * rng.normal(0, 1, len(masks)) - spread**2 / 2)


def settle(order: Order, pilot: Array, total: int) -> None:
    while order.known < total:
        order.settle(pilot)


def sampled(seed: int, total: int) -> Strands:
    """All draws of one run."""
    rng, order = np.random.default_rng(seed), Order(world()[0], total)
    sums = Strands(Moments(("score",), per="mask"), K)

    def take(start: int) -> None:
        masks = order.masks[start:]
        sums.add({"score": draw(rng, masks)}, order.samples[start:], masks)

    take(0)
    settle(order, sums.means(), total)
    take(STRANDS * K)
    return sums


def estimate(sums: Strands) -> Array:
    return sums.totals()["mean/score"].astype(float)


@pytest.mark.parametrize("total", [2 * K, 2 * K + 1, 100, 401])
def test_every_draw_is_of_a_strand_and_a_map_once(total: int) -> None:
    order = Order(world()[0], total)
    settle(order, np.random.default_rng(0).random((STRANDS, K)), total)
    assert len(order.masks) == order.known == total
    pairs = order.samples * K + order.masks
    assert len(np.unique(pairs)) == total
    assert_array_equal(np.bincount(order.samples[: 2 * K]), [K, K])
    strands = np.bincount(order.samples % 2)
    assert abs(strands[0] - strands[1]) <= 1
    for k, h in np.ndindex(K, STRANDS):  # of each map and strand the samples are 0, 1, 2 ... in this order
        mine = order.samples[(order.masks == k) & (order.samples % 2 == h)] // 2
        assert_array_equal(mine, np.arange(len(mine)))


def test_counts_are_the_shares_as_near_as_whole_numbers_can_be() -> None:
    sizes, means, _ = world()
    pilot = np.stack([means, means])
    order = Order(sizes, 2 * K + 2000)
    settle(order, pilot, 2 * K + 2000)
    shares = weights(sizes, means, 0.65)
    for strand in range(STRANDS):
        masks = order.masks[order.samples % 2 == strand]
        for end in (K, K + 7, K + 150, K + 1000):
            counts = np.bincount(masks[:end], minlength=K)
            scale = (counts[counts > 1].sum()) / shares[counts > 1].sum() if (counts > 1).any() else 0
            assert (np.abs(counts - scale * shares)[counts > 1] <= 1.0).all()
            assert (scale * shares[counts == 1] <= 2).all()


def test_an_early_end_is_the_allocation_of_a_smaller_budget() -> None:
    pilot = np.random.default_rng(1).random((STRANDS, K))
    long, short = Order(world()[0], 5000), Order(world()[0], 173)
    settle(long, pilot, 5000)
    settle(short, pilot, 173)
    assert_array_equal(long.masks[:173], short.masks)
    assert_array_equal(long.samples[:173], short.samples)


def test_draws_become_known_as_they_are_needed() -> None:
    """A run with a tolerance may have a budget that it never uses; later scores change nothing."""
    order, found = Order(world()[0], 10**9), []
    for seed in range(3):
        order.settle(np.random.default_rng(seed).random((STRANDS, K)))
        found.append((order.known, order.masks))
    assert [known for known, _ in found] == [2 * K * 8, 2 * K * 64, 2 * K * 512]
    assert_array_equal(found[0][1], found[2][1][: 2 * K * 8])


def test_one_strand_is_decided_by_the_other_alone() -> None:
    """Were it otherwise, its means would be biased."""
    rng = np.random.default_rng(2)
    first, other, new = rng.random((3, K))
    orders = [Order(world()[0], 400) for _ in range(2)]
    for order, pilot in zip(orders, ([first, other], [new, other]), strict=True):
        settle(order, np.array(pilot), 400)
    of_strand = [[o.masks[o.samples % 2 == h] for o in orders] for h in range(2)]
    assert_array_equal(of_strand[0][0], of_strand[0][1])
    assert not np.array_equal(of_strand[1][0], of_strand[1][1])


def test_shares() -> None:
    sizes, pilot = np.array([1.0, 2.0, 0.0]), np.array([0.0, 1.0, 5.0])
    assert_allclose(weights(sizes, pilot, 0.65), [EVEN / 3, 1 - EVEN + 2 * EVEN / 3, 0])
    assert_allclose(weights(sizes, np.array([-9.0, 4, 1]), 0.0), [1 / 3, 2 / 3, 0])
    assert_allclose(weights(sizes, np.zeros(3), 0.65), [1 / 3, 2 / 3, 0])
    assert_allclose(weights(np.zeros(3), pilot, 0.65), [1 / 3, 1 / 3, 1 / 3])


def bias(runs: Array) -> Array:
    """By how many standard errors the total over all maps is off."""
    sizes, means, _ = world()
    totals = runs @ sizes
    return (totals.mean() - means @ sizes) / (totals.std(ddof=1) / np.sqrt(len(totals)))


def by_its_own_pilot(seed: int, total: int) -> Array:
    """What the strands avoid: all samples pooled, of which the first decided how many there are."""
    sizes, _, _ = world()
    rng, order = np.random.default_rng(seed), Order(sizes, total)
    pilot = draw(rng, order.masks).reshape(STRANDS, K)
    settle(order, np.stack([pilot.mean(axis=0)] * 2), total)
    rest = order.masks[2 * K :]
    sums = pilot.sum(axis=0) + np.bincount(rest, draw(rng, rest), K)
    return np.asarray(sums / np.bincount(order.masks, minlength=K))


def test_the_mean_is_unbiased_where_pooling_is_not() -> None:
    ours = np.stack([estimate(sampled(seed, 7 * K)) for seed in range(1500)])
    pooled = np.stack([by_its_own_pilot(seed, 7 * K) for seed in range(1500)])
    assert abs(bias(ours)) < 3
    assert bias(pooled) < -8


def test_the_error_comes_near_the_optimum_and_is_far_below_even_sampling() -> None:
    sizes, means, share = world()
    for total, near in ((7 * K, 1.8), (40 * K, 1.7)):
        runs = np.stack([estimate(sampled(seed, total)) for seed in range(600)])
        found = (runs.var(axis=0, ddof=1) * sizes**2).sum()
        best = (sizes * means * share).sum() ** 2 / total
        even = ((sizes * means * share) ** 2).sum() * K / total
        assert best * 0.95 < found < best * near
        assert found < even / 2


@pytest.mark.parametrize("total", [5 * K, 20 * K])
def test_stated_errors_are_right_on_average(total: int) -> None:
    sizes, _, _ = world()
    runs = [sampled(seed, total) for seed in range(600)]
    stated = np.mean([np.square(run.errors()) @ sizes**2 for run in runs])  # type: ignore[operator]
    actual = (np.stack([estimate(run) for run in runs]).var(axis=0, ddof=1) * sizes**2).sum()
    assert 0.85 < stated / actual < 1.15


def test_there_is_no_error_before_both_strands_hold_all_maps() -> None:
    sums = Strands(Moments(("score",), per="mask"), 3)
    sums.add({"score": np.array([1.0, 2, 3, 5, 7])}, np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1]))
    assert sums.errors() is None
    assert_allclose(sums.totals()["mean/score"], [3, 4.5, 3])
    sums.add({"score": np.array([3.0, 8])}, np.array([1, 2]), np.array([2, 0]))
    assert_allclose(sums.totals()["mean/score"], [(4.5 + 5) / 2, 4.5, 3])
    first = np.var([1, 8, 5], ddof=1) * (1 / 2 + 1) / 4
    assert_allclose(np.square(sums.errors()), [first, 12.5 / 2, 0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tail", "wanted"),
    [(lambda m: m, lambda e: e), (lambda m: np.maximum(m + 100, 0), lambda e: e), (lambda m: 0 * m, lambda e: 0 * e)],
)
def test_errors_go_through_a_tail(tail: Callable[[Array], Array], wanted: Callable[[Array], Array]) -> None:
    rng = np.random.default_rng(5)
    maps, mean, error = rng.random((40, 6)).astype(np.float32), rng.random(40).astype(np.float32), rng.random(40)
    found = propagated(lambda v: tail(v @ maps), mean, error)
    assert_allclose(found, wanted(np.sqrt(error**2 @ maps.astype(float) ** 2)), rtol=0.3)
