"""Completeness, sensitivity-n and infidelity on linear models, whose attributions are known."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.metrics.faithfulness import best_factors, completeness, correlations, infidelity, sensitivity_n

RNG = np.random.default_rng(6)
X = RNG.random((3, 12, 10)).astype(np.float32) * 4 - 1
W = RNG.standard_normal(X.shape)
BLACK = np.array([-1.0, -0.5, -2.0])
FLOOR = np.broadcast_to(BLACK[:, None, None], X.shape)
MAP = np.abs(W).max(axis=0)


def linear(images: np.ndarray) -> np.ndarray:
    return np.asarray((images * W).sum(axis=(1, 2, 3)) + 3)


def curved(images: np.ndarray) -> np.ndarray:
    return np.asarray(linear(images) + (images**2 * W).sum(axis=(1, 2, 3)) / 2)


def test_of_a_linear_model_gradient_times_input_is_complete() -> None:
    assert completeness(linear, X, X * W).value == pytest.approx(0, abs=1e-4)
    assert completeness(linear, X, (X - FLOOR) * W, BLACK, to="black").value == pytest.approx(0, abs=1e-4)


def test_the_gap_is_what_is_missing() -> None:
    rise = float((X * W).sum())
    judged = completeness(linear, X, X * W + 0.5)
    assert judged.value == pytest.approx(0.5 * X.size, rel=1e-5)
    assert judged.details["rise"] == pytest.approx(rise, rel=1e-4)
    assert completeness(linear, X, 3 * X * W, relative=True).value == pytest.approx(2, rel=1e-4)


def test_a_map_of_a_layer_makes_no_such_claim() -> None:
    assert np.isnan(completeness(linear, X, np.ones((3, 3))).value)


def test_of_a_linear_model_sums_tell_the_drop() -> None:
    true = (X - FLOOR) * W
    judged = sensitivity_n(linear, X, MAP, true, BLACK)
    assert judged.value == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(judged.curve[:, 0], [round(s * 120) / 120 for s in (0.02, 0.1, 0.3)])
    assert sensitivity_n(linear, X, MAP, -true, BLACK).value == pytest.approx(-1, abs=1e-6)
    assert judged.details == {"of": "raw"}


def test_attributions_of_something_else_tell_little() -> None:
    found = sensitivity_n(linear, X, MAP, RNG.standard_normal(X.shape), BLACK, samples=200)
    assert abs(found.value) < 0.3


def test_a_map_stands_in_where_the_attribution_is_of_a_layer() -> None:
    summed = ((X - FLOOR) * W).sum(axis=0)
    judged = sensitivity_n(linear, X, summed, np.ones((3, 3)), BLACK)
    assert judged.value == pytest.approx(1, abs=1e-6)
    assert judged.details == {"of": "saliency"}
    assert sensitivity_n(linear, X, summed, baseline=BLACK).value == judged.value


def test_a_flat_map_tells_nothing_of_any_group() -> None:
    assert np.isnan(sensitivity_n(linear, X, np.full((12, 10), 0.1), baseline=BLACK).value)


def test_groups_are_the_slow_twin_s() -> None:
    """One n, few samples: Pearson of what each group's removal does and its sum, by numpy."""
    groups: list[np.ndarray] = []

    def watch(images: np.ndarray) -> np.ndarray:
        if len(images) > 1:
            groups.extend((images == FLOOR).all(axis=1))
        return curved(images)

    judged = sensitivity_n(watch, X, MAP, baseline=BLACK, shares=(0.25,), samples=12)
    assert [int(group.sum()) for group in groups] == [30] * 12
    drops = [float(curved(X[None])[0] - curved(np.where(group, FLOOR, X)[None])[0]) for group in groups]
    expected = np.corrcoef([MAP[group].sum() for group in groups], drops)[0, 1]
    assert judged.value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("shares", [(), (0.0,), (1.0,)])
def test_groups_are_neither_empty_nor_everything(shares: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        sensitivity_n(linear, X, MAP, shares=shares)


@pytest.mark.parametrize("change", ["noise", "square"])
def test_of_a_linear_model_the_gradient_is_faithful(change: str) -> None:
    for scaled in (True, False):
        judged = infidelity(linear, X, MAP, W, BLACK, change=change, size=0.3, scaled=scaled)
        assert judged.value == pytest.approx(0, abs=1e-7)
        assert judged.details["factor"] == pytest.approx(1, abs=1e-4)


def test_a_map_is_spread_evenly_over_the_channels() -> None:
    """Of a model that sums the channels times a map, that map times the number of channels is the gradient."""
    summed = lambda images: (images * MAP).sum(axis=(1, 2, 3))
    assert infidelity(summed, X, 3 * MAP, scaled=False).value == pytest.approx(0, abs=1e-7)
    judged = infidelity(summed, X, MAP, scaled=True)
    assert judged.details["factor"] == pytest.approx(3, rel=1e-4)
    assert judged.details["of"] == "saliency"


def test_scaling_forgives_the_unit_and_nothing_else() -> None:
    true, scaled = infidelity(curved, X, MAP, W), infidelity(curved, X, MAP, 1000 * W)
    assert scaled.value == pytest.approx(true.value, rel=1e-6)
    assert infidelity(curved, X, MAP, 1000 * W, scaled=False).value > 1000 * true.value
    assert infidelity(linear, X, MAP, -W).value == pytest.approx(0, abs=1e-7)
    assert infidelity(linear, X, MAP, -W, scaled=False).value > 1


def test_nothing_predicts_no_change() -> None:
    """The infidelity of an attribution of 0 is the mean squared change: sigma^2 |W|^2 for normal noise."""
    judged = infidelity(linear, X, MAP, 0 * W, size=0.05, samples=400)
    expected = (0.05 * np.ptp(X)) ** 2 * (W**2).sum()
    assert judged.value == pytest.approx(expected, rel=0.25)
    assert judged.value == infidelity(linear, X, MAP, 0 * W, size=0.05, samples=400, scaled=False).value


def test_squares_go_to_black() -> None:
    seen: list[np.ndarray] = []

    def watch(images: np.ndarray) -> np.ndarray:
        seen.extend(images.copy())
        return linear(images)

    infidelity(watch, X, MAP, W, BLACK, change="square", size=0.3, samples=9)
    for image in seen[1:]:
        changed = np.argwhere((image != X).any(axis=0))
        low, high = changed.min(axis=0), changed.max(axis=0) + 1
        assert (high - low).tolist() == [3, 3]
        place = np.s_[:, low[0] : high[0], low[1] : high[1]]
        np.testing.assert_allclose(image[place], FLOOR[place], atol=1e-6)


def test_correlations_and_factors_are_numpy_s() -> None:
    a, b = RNG.standard_normal((2, 4, 30))
    np.testing.assert_allclose(correlations(a, b), [np.corrcoef(p, q)[0, 1] for p, q in zip(a, b, strict=True)])
    expected = [np.linalg.lstsq(row[:, None], b[0], rcond=None)[0][0] for row in a]
    np.testing.assert_allclose(best_factors(a, b[0]), expected)


def test_a_square_is_no_larger_than_the_picture() -> None:
    with pytest.raises(UsageError, match="a share of the picture's, 0 to 1, got 2"):
        infidelity(linear, X, MAP[None], change="square", size=2)
