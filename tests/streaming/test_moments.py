"""Running moments, jackknife errors and reliability against NumPy on all values at once."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from onnxsal.records import Draws, Moments, Noise, Record
from onnxsal.streaming import moments as module
from onnxsal.streaming.finish import Finish
from onnxsal.streaming.moments import Accumulator
from onnxsal.streaming.plan import Plan

RNG = np.random.default_rng(0)


def accumulated(y: np.ndarray, moments: Moments, *, batch: int, groups: int, weights=None) -> Accumulator:
    """Feed y [N, ...] (or [N, K] by mask) in batches, masks within samples."""
    by_mask = moments.per == "mask"
    masks = y.shape[1] if by_mask else 1
    sums = Accumulator(moments, masks=masks, groups=groups, squares=True, weights=weights)
    rows = y.reshape(-1) if by_mask else y
    for start in range(0, len(rows), batch):
        t = np.arange(start, min(start + batch, len(rows)))
        sums.add({"y": rows[t].astype(np.float32)}, t // masks, t % masks)
    return sums


@pytest.mark.parametrize("batch", [1, 5, 100])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("per", ["all", "mask"])
def test_moments_are_those_of_all_values(per: str, groups: int, batch: int) -> None:
    y = (100 + RNG.normal(size=(13, 6))).astype(np.float32)
    totals = accumulated(y, Moments(("y",), per=per), batch=batch, groups=groups).totals()  # type: ignore[arg-type]
    assert_allclose(totals["mean/y"], y.mean(0, dtype=float), rtol=1e-6)
    assert_allclose(totals["square/y"], (y.astype(float) ** 2).mean(0), rtol=1e-6)
    assert_allclose(totals["variance/y"], y.var(0, ddof=1, dtype=float), rtol=1e-4)


def test_one_group_left_out_is_all_others() -> None:
    y = RNG.normal(size=(13, 6)).astype(np.float32)
    sums = accumulated(y, Moments(("y",)), batch=3, groups=4)
    kept = y[np.arange(13) % 4 != 2]
    assert_allclose(sums.totals(leave_out=2)["mean/y"], kept.mean(0), rtol=1e-5)
    assert_allclose(sums.sizes(), [4, 3, 3, 3])


def test_weights_are_those_of_the_samples() -> None:
    y, w = RNG.normal(size=(5, 6)).astype(np.float32), (0.1, 0.2, 0.4, 0.2, 0.1)
    sums = accumulated(y, Moments(("y",)), batch=2, groups=1, weights=w)
    assert_allclose(sums.totals()["mean/y"], np.array(w) @ y, rtol=1e-5)


def test_a_mask_without_samples_is_not_drawn() -> None:
    sums = Accumulator(Moments(("y",), per="mask"), masks=3, groups=2, squares=False)
    sums.add({"y": np.ones(2, np.float32)}, np.array([0, 0]), np.array([0, 1]))
    sums.settle()
    assert sums.drawn().tolist() == [1, 1, 0]
    assert sums.filled() == []


@pytest.mark.parametrize("batch", [1, 4, 5, 30])
def test_a_sample_that_only_some_masks_have_is_left_out(batch: int) -> None:
    y = RNG.normal(size=(5, 6)).astype(np.float32)
    sums = Accumulator(Moments(("y",), per="mask"), masks=6, groups=2, squares=True)
    for start in range(0, 27, batch):
        t = np.arange(start, min(start + batch, 27))
        sums.add({"y": y.reshape(-1)[t]}, t // 6, t % 6)
    sums.settle()
    assert_allclose(sums.totals()["mean/y"], y[:4].mean(0), rtol=1e-6)
    assert_allclose(sums.sizes(), [2, 2])


def test_large_moments_take_fewer_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 4 * 1000 * 8 * 2)
    y = RNG.normal(size=(9, 1000)).astype(np.float32)
    sums = accumulated(y, Moments(("y",)), batch=4, groups=20)
    assert sums.groups == 4
    assert sums._sums["y"].nbytes + sums._squares["y"].nbytes <= module.LIMIT
    assert_allclose(sums.totals()["mean/y"], y.mean(0), rtol=1e-4, atol=1e-6)


def finish(y: np.ndarray, shown: str, per: str = "all", groups: int = 20) -> Finish:
    moments = Moments(("y",), per=per, shown=shown)  # type: ignore[arg-type]
    masks = y.shape[1] if per == "mask" else 1
    draws = Draws(samples=len(y), noise=Noise(1.0))
    record = Record(draws=draws, body=None, moments=moments)  # type: ignore[arg-type]
    nothing = np.zeros((1, 1, 1), np.float32)
    plan = Plan(nothing, nothing, draws, None, np.arange(masks), np.zeros(masks), (), (), masks, len(y))  # type: ignore[arg-type]
    return Finish(record, plan, accumulated(y, moments, batch=7, groups=min(groups, len(y))), None)


@pytest.mark.parametrize("n", [8, 20, 33])
def test_jackknife_of_a_mean_is_its_closed_form_for_any_group_size(n: int) -> None:
    """Of a mean it is exact in expectation, so over many pixels the squares have to agree."""
    y = RNG.normal(size=(n, 4000)).astype(np.float32)
    whole = finish_map(y, None, min(20, n))
    jackknife = finish(y, "mean")._jackknife(
        whole, lambda groups: np.stack([finish_map(y, g, min(20, n)) for g in groups])
    )
    assert jackknife is not None
    assert np.square(jackknife, dtype=float).mean() == pytest.approx(1 / n, rel=0.05)
    if n <= 20:
        assert_allclose(jackknife, y.std(0, ddof=1) / np.sqrt(n), rtol=1e-3)


def finish_map(y: np.ndarray, leave_out: int | None, groups: int) -> np.ndarray:
    kept = np.ones(len(y), bool) if leave_out is None else np.arange(len(y)) % groups != leave_out
    return np.asarray(y[kept].mean(0))


def test_jackknife_of_a_variance_is_its_known_error() -> None:
    """The standard deviation of an unbiased variance of n normal values is sigma^2 sqrt(2 / (n - 1))."""
    y = RNG.normal(0, 2, size=(60, 4000)).astype(np.float32)
    error = finish(y, "variance").stderr()
    assert error is not None
    assert np.sqrt(np.square(error, dtype=float).mean()) == pytest.approx(4 * np.sqrt(2 / 59), rel=0.1)


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_samples_have_no_error(n: int) -> None:
    assert finish(RNG.normal(size=(n, 5)), "variance").stderr() is None


@pytest.mark.parametrize("signal", [0.0, 0.3, 2.0])
def test_reliability_is_the_share_of_spread_that_is_not_noise(signal: float) -> None:
    """Scores are signal + what all masks of a sample share + noise; the shared part must not count as noise."""
    samples, masks = 20, 3000
    shared, noise = RNG.normal(0, 3, (samples, 1)), RNG.normal(0, 1, (samples, masks))
    y = signal * RNG.normal(0, 1, masks) + shared + noise
    wanted = signal**2 / (signal**2 + 1 / samples)
    assert finish(y.astype(np.float32), "mean", per="mask").reliability() == pytest.approx(wanted, abs=0.05)
