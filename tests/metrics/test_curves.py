"""Deletion and insertion against closed forms of linear scores, best and worst orders, and a slow twin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onnxsal.kernels.blur import gaussian_blur
from onnxsal.metrics.curves import cuts, deletion, insertion

RNG = np.random.default_rng(1)
X = RNG.random((2, 9, 7)).astype(np.float32)
W = RNG.random(X.shape)
SHARE = (X * W).sum(axis=0) / (X * W).sum()


def linear(images: np.ndarray) -> np.ndarray:
    """Return 1 for the picture, 0 for black, and between them the share of the evidence that is there."""
    return np.asarray((images * W).sum(axis=(1, 2, 3)) / (X * W).sum())


def slow(start: np.ndarray, end: np.ndarray, saliency: np.ndarray, steps: int) -> np.ndarray:
    order = sorted(range(saliency.size), key=lambda i: (-saliency.ravel()[i], i))
    image, curve, done = start.reshape(2, -1).copy(), [], 0
    for step in range(steps + 1):
        until = int(np.rint(step * saliency.size / steps))
        for i in order[done:until]:
            image[:, i] = end.reshape(2, -1)[:, i]
        done = until
        curve.append((until / saliency.size, linear(image.reshape(1, *X.shape))[0]))
    return np.array(curve)


@pytest.mark.parametrize("steps", [1, 7, 10, 63])
def test_deletion_is_the_slow_twin_s(steps: int) -> None:
    saliency = RNG.integers(0, 9, (9, 7)) / 9
    found = deletion(linear, X, saliency, steps=steps)
    expected = slow(X, np.zeros_like(X), saliency, steps)
    np.testing.assert_allclose(found.curve, expected, atol=1e-6)
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(expected))
    assert found.value == pytest.approx(area, abs=1e-6)


def test_insertion_starts_from_the_blurred_picture() -> None:
    saliency = RNG.random((9, 7))
    expected = slow(gaussian_blur(X, kernel=11, sigma=5.0), X, saliency, 9)
    np.testing.assert_allclose(insertion(linear, X, saliency, steps=9).curve, expected, atol=1e-6)


def test_of_a_linear_score_the_true_map_is_best_and_its_negative_worst() -> None:
    """Deleting pixel by pixel, the area is that of the sorted shares; no order of 300 others beats it."""
    best = deletion(linear, X, SHARE, steps=63).value
    left = 1 - np.concatenate([[0], np.cumsum(np.sort(SHARE, axis=None)[::-1])])
    assert best == pytest.approx(((left[1:] + left[:-1]) / 2).mean(), abs=1e-6)
    worst = deletion(linear, X, -SHARE, steps=63).value
    assert worst == pytest.approx(1 - best, abs=1e-6)
    others = deletion(linear, X, RNG.random((300, 9, 7)), steps=63)
    assert all(best < each.value < worst for each in others)
    assert insertion(linear, X, SHARE, to="black", steps=63).value == pytest.approx(1 - best, abs=1e-6)
    assert insertion(linear, X, -SHARE, to="black", steps=63).value == pytest.approx(best, abs=1e-6)


def test_one_pixel_that_holds_the_score() -> None:
    """Deleted first the score falls within one step: half of it by the trapezoid; deleted last it holds till then."""
    saliency = np.zeros((9, 7))
    saliency[4, 3] = 1
    held = lambda images: (images[:, 0, 4, 3] == X[0, 4, 3]).astype(float)
    assert deletion(held, X, saliency, steps=63).value == pytest.approx(0.5 / 63)
    assert deletion(held, X, -saliency, steps=63).value == pytest.approx(1 - 0.5 / 63)
    assert insertion(held, X, saliency, steps=63).value == pytest.approx(1 - 0.5 / 63)


def test_a_score_that_does_not_move_gives_itself() -> None:
    """The trapezoid over the true shares is exact, also where the pixels do not divide by the steps."""
    constant = lambda images: np.full(len(images), 0.3)
    for steps in (1, 5, 50, 1000):
        assert deletion(constant, X, SHARE, steps=steps).value == pytest.approx(0.3)


def test_steps_are_equal_as_far_as_whole_pixels_allow() -> None:
    assert cuts(100, 4).tolist() == [0, 25, 50, 75, 100]
    assert set(np.diff(cuts(50176, 50))) <= {1003, 1004}
    assert cuts(3, 50).tolist() == [0, 1, 2, 3]


def test_equal_pixels_go_in_reading_order_or_shuffled_the_same_way() -> None:
    halves = np.repeat([[1.0, 0.0]], 9, axis=0).repeat([3, 4], axis=1)
    seen: list[np.ndarray] = []

    def watch(images: np.ndarray) -> np.ndarray:
        seen.extend(images[:, 0].copy())
        return linear(images)

    deletion(watch, X, halves, steps=63, ties="reading")
    assert [int((image == 0).sum()) for image in seen[2:]] == list(range(1, 63))
    assert (seen[2] == 0).nonzero() == (0, 0)
    shuffled = deletion(linear, X, halves, steps=63, ties="random")
    assert shuffled.value == deletion(linear, X, halves, steps=63, ties="random").value
    reading = deletion(linear, X, halves, steps=63)
    assert shuffled.value != reading.value
    assert shuffled.curve[27, 1] == pytest.approx(reading.curve[27, 1])


def test_shuffled_ties_keep_the_order_of_what_differs() -> None:
    plain = deletion(linear, X, SHARE, steps=63)
    assert deletion(linear, X, SHARE, steps=63, ties="random").value == plain.value


def test_a_flat_map_has_no_order_and_costs_nothing() -> None:
    asked: list[int] = []

    def count(images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        return linear(images)

    flat, other = deletion(count, X, np.stack([np.ones((9, 7)), SHARE]), steps=10)
    assert np.isnan(flat.value) and flat.curve is None
    assert not np.isnan(other.value)
    assert sum(asked) == 11
    assert np.isnan(deletion(count, X, np.ones((9, 7)), ties="random").value)


def test_ends_are_shared_and_batches_filled() -> None:
    sizes: list[int] = []

    def count(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return linear(images)

    count.batch = 8  # type: ignore[attr-defined]
    deletion(count, X, RNG.random((4, 9, 7)), steps=10)
    assert sum(sizes) == 2 + 4 * 9
    assert set(sizes[:-1]) == {8}


def test_black_is_the_model_s() -> None:
    black = np.array([-2.0, -3.0])
    last: list[np.ndarray] = []
    deletion(lambda p: last.append(p[1].copy()) or linear(p) if len(p) > 1 else linear(p), X, SHARE, black, steps=1)
    np.testing.assert_array_equal(last[0], np.broadcast_to(black[:, None, None], X.shape))
    assert deletion(linear, X, SHARE, black, steps=1, to="zero").curve[1, 1] == 0
    mean = deletion(linear, X, SHARE, black, steps=1, to="mean").curve[1, 1]
    assert mean == pytest.approx(linear(np.broadcast_to(X.mean(axis=(1, 2), keepdims=True), X.shape)[None])[0])
