"""Sparseness and complexity against their extremes and slow twins."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.metrics.concentration import complexity, sparseness

RNG = np.random.default_rng(4)


def one_of(pixels: int) -> np.ndarray:
    found = np.zeros(pixels)
    found[pixels // 2] = -2
    return found.reshape(-1, 1)


def test_equal_pixels_are_least_sparse_and_most_complex() -> None:
    assert sparseness(np.full((5, 8), 0.3)).value == pytest.approx(0, abs=1e-12)
    assert complexity(np.full((5, 8), 0.3)).value == pytest.approx(np.log(40))


def test_one_pixel_is_most_sparse_and_least_complex() -> None:
    assert sparseness(one_of(50)).value == pytest.approx(1 - 1 / 50)
    assert complexity(one_of(50)).value == 0


def test_k_equal_pixels() -> None:
    saliency = np.repeat([0.0, 1.0], [30, 10]).reshape(5, 8)
    assert sparseness(saliency).value == pytest.approx(0.75)
    assert complexity(saliency).value == pytest.approx(np.log(10))


def test_the_gini_index_is_the_mean_difference_of_pairs() -> None:
    """Slow twin: sum over all pairs of |a - b|, over 2 n^2 times the mean."""
    values = np.abs(RNG.standard_normal((9, 11)))
    pairs = np.abs(values.reshape(-1, 1) - values.reshape(1, -1))
    assert sparseness(values).value == pytest.approx(pairs.mean() / (2 * values.mean()))


def test_the_sign_and_the_scale_play_no_part() -> None:
    values = RNG.standard_normal((9, 11))
    for judge in (sparseness, complexity):
        assert judge(-1000 * values).value == pytest.approx(judge(values).value)
        assert judge(np.abs(values)).value == pytest.approx(judge(values).value)


def test_nothing_is_neither() -> None:
    assert np.isnan(sparseness(np.zeros((3, 3))).value)
    assert np.isnan(complexity(np.zeros((3, 3))).value)
