"""Max-sensitivity, ADCC and randomisation on explainers whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.metrics.agreement import ssim
from onnxsal.metrics.stability import adcc, max_sensitivity, randomisation

RNG = np.random.default_rng(7)
X = RNG.random((3, 12, 12)).astype(np.float32)
W = RNG.standard_normal((12, 12))
OBJECT = np.zeros((12, 12))
OBJECT[3:9, 4:8] = 1


def weighted(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=1) * W


def on_object(images: np.ndarray) -> np.ndarray:
    return np.asarray((images * OBJECT).sum(axis=(1, 2, 3)) / (X * OBJECT).sum())


def test_a_map_that_does_not_move_is_most_stable() -> None:
    constant = lambda images: np.broadcast_to(W, (len(images), 12, 12))
    assert max_sensitivity(X, W, constant).value == 0


def test_of_a_linear_explainer_it_is_the_largest_move_of_the_draws() -> None:
    seen: list[np.ndarray] = []

    def watch(images: np.ndarray) -> np.ndarray:
        seen.extend(images.copy())
        return weighted(images)

    saliency = weighted(X[None])[0]
    judged = max_sensitivity(X, saliency, watch, samples=13, radius=0.1)
    assert len(seen) == 13
    reach = 0.1 * np.ptp(X)
    moves = np.stack(seen) - X
    assert reach * 0.99 < np.abs(moves).max() <= reach * 1.0001
    expected = max(np.linalg.norm(weighted(move[None])[0]) for move in moves) / np.linalg.norm(saliency)
    assert judged.value == pytest.approx(expected, rel=1e-5)


def test_twice_the_radius_moves_a_linear_explainer_twice_as_far() -> None:
    saliency = weighted(X[None])[0]
    near, far = (max_sensitivity(X, saliency, weighted, radius=r).value for r in (0.05, 0.1))
    assert far == pytest.approx(2 * near, rel=1e-4)


def test_a_map_of_nothing_has_no_relative_move() -> None:
    assert np.isnan(max_sensitivity(X, 0 * W, weighted).value)


def test_explainers_that_give_something_else_are_refused() -> None:
    with pytest.raises(UsageError, match=r"expected \[8, 12, 12\], got shape \[8, 3\]"):
        max_sensitivity(X, W, lambda p: np.zeros((len(p), 3)))
    with pytest.raises(UsageError, match="NaN"):
        max_sensitivity(X, W, lambda p: np.full((len(p), 12, 12), np.nan))


def test_adcc_is_the_harmonic_mean_of_its_parts() -> None:
    """The same map again: coherency 1; the object keeps the whole score; complexity is its share of the picture."""
    judged = adcc(on_object, X, OBJECT, lambda p: np.broadcast_to(OBJECT, (len(p), 12, 12)))
    share = OBJECT.mean()
    assert judged.value == pytest.approx(3 / (1 + 1 / (1 - share) + 1), rel=1e-6)
    assert judged.details == pytest.approx({"coherency": 1, "one_minus_complexity": 1 - share, "one_minus_drop": 1})


def test_adcc_explains_the_picture_seen_through_the_map() -> None:
    seen: list[np.ndarray] = []

    def watch(images: np.ndarray) -> np.ndarray:
        seen.append(images.copy())
        return weighted(images)

    judged = adcc(on_object, X, OBJECT, watch)
    np.testing.assert_array_equal(seen[0][0], X * OBJECT.astype(np.float32))
    correlation = np.corrcoef(OBJECT.ravel(), weighted(seen[0])[0].ravel())[0, 1]
    assert judged.details["coherency"] == pytest.approx((1 + correlation) / 2)


def test_adcc_is_nothing_where_one_part_is() -> None:
    same = lambda p: np.broadcast_to(-OBJECT, (len(p), 12, 12))
    assert adcc(on_object, X, OBJECT, same).value == pytest.approx(0, abs=1e-9)
    assert adcc(on_object, X, 1 - OBJECT, lambda p: np.broadcast_to(1 - OBJECT, (len(p), 12, 12))).value == 0
    flat = adcc(on_object, X, OBJECT, lambda p: np.ones((len(p), 12, 12)))
    assert flat.value == 0
    assert np.isnan(adcc(on_object, X, np.ones((12, 12)), same).value)


def test_randomisation_walks_from_the_map_itself() -> None:
    saliency = RNG.random((12, 12))
    judged = randomisation(saliency, np.stack([saliency**3, -saliency, np.ones((12, 12))]))
    np.testing.assert_allclose(judged.curve, [[0, 1], [1 / 3, 1], [2 / 3, -1], [1, 0]], atol=1e-12)
    assert judged.value == pytest.approx(0, abs=1e-12)


def test_a_map_that_ignores_the_weights_scores_worst() -> None:
    saliency = RNG.random((12, 12))
    assert randomisation(saliency, np.stack([saliency] * 4)).value == pytest.approx(1)
    assert randomisation(saliency, np.stack([saliency] * 4), by="ssim").value == pytest.approx(1)
    assert abs(randomisation(saliency, RNG.random((30, 12, 12))).value) < 0.1
    assert np.isnan(randomisation(np.ones((12, 12)), np.stack([saliency])).value)


def test_ssim_of_signed_maps_is_that_of_their_span() -> None:
    signed, other = (RNG.uniform(-1, 1, (12, 12)) for _ in range(2))
    assert randomisation(signed, other[None], by="ssim").value == ssim(signed, other, span=2)
    assert randomisation(abs(signed), abs(other)[None], by="ssim").value == ssim(abs(signed), abs(other))
    assert ssim(signed, other, span=2) != pytest.approx(ssim(signed, other), rel=1e-3)


def test_randomised_maps_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match=r"must be \[K, 12, 12\], got \[2, 5, 5\]"):
        randomisation(RNG.random((12, 12)), np.ones((2, 5, 5)))
