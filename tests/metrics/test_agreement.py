"""Agreements of maps against slow twins and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.metrics.agreement import AGREEMENTS, cosine, mean_ranks, pearson, similarity, spearman, ssim

RNG = np.random.default_rng(8)
A, B = RNG.random((2, 20, 17))


def test_a_map_agrees_with_itself() -> None:
    for name in AGREEMENTS:
        assert similarity(A, A, by=name) == pytest.approx(1)
        assert similarity(A, B, by=name) == pytest.approx(similarity(B, A, by=name))


def test_cosine_is_of_the_angle() -> None:
    assert cosine(np.array([[1.0, 0]]), np.array([[1.0, 1]])) == pytest.approx(np.sqrt(0.5))
    assert cosine(A, -3 * A) == pytest.approx(-1)
    assert np.isnan(cosine(A, 0 * A))


def test_pearson_is_numpy_s() -> None:
    assert pearson(A, B) == pytest.approx(np.corrcoef(A.ravel(), B.ravel())[0, 1])
    assert pearson(A, 5 - 2 * A) == pytest.approx(-1)
    assert np.isnan(pearson(A, np.full(A.shape, 0.1)))


def test_ranks_of_equal_pixels_are_their_mean() -> None:
    values = RNG.integers(0, 4, 30)
    expected = [(values < v).sum() + ((values == v).sum() - 1) / 2 for v in values]
    np.testing.assert_array_equal(mean_ranks(values), expected)


def test_spearman_sees_the_order_alone() -> None:
    assert spearman(A, np.exp(9 * A)) == pytest.approx(1)
    assert spearman(A, -(A**3)) == pytest.approx(-1)
    assert np.isnan(spearman(A, np.ones(A.shape)))


def test_spearman_without_ties_is_the_textbook_s() -> None:
    distance = mean_ranks(A) - mean_ranks(B)
    n = A.size
    assert spearman(A, B) == pytest.approx(1 - 6 * (distance**2).sum() / (n * (n**2 - 1)))


def test_spearman_with_ties() -> None:
    """Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3: r = 4.5 / sqrt(4.5 * 5)."""
    assert spearman(np.array([[1, 2, 2, 3]]), np.array([[1, 2, 3, 4]])) == pytest.approx(np.sqrt(0.9))


def test_ssim_is_the_slow_twin_s() -> None:
    line = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    found = []
    for y, x in itertools.product(range(10), range(7)):
        a, b = A[y : y + 11, x : x + 11], B[y : y + 11, x : x + 11]
        m, n = (window * a).sum(), (window * b).sum()
        v, w, c = ((window * p * q).sum() - r for p, q, r in ((a, a, m * m), (b, b, n * n), (a, b, m * n)))
        found.append((2 * m * n + 1e-4) * (2 * c + 9e-4) / ((m * m + n * n + 1e-4) * (v + w + 9e-4)))
    assert ssim(A, B) == pytest.approx(np.mean(found), abs=1e-5)


def test_ssim_scales_with_the_span() -> None:
    assert ssim(200 * A, 200 * B, span=200) == pytest.approx(ssim(A, B), abs=1e-6)
    assert ssim(A, np.full(A.shape, A.mean())) < 0.1


@pytest.mark.parametrize("name", AGREEMENTS)
def test_what_cannot_be_compared_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"one shape, got \[20, 17\] and \[20, 16\]"):
        similarity(A, A[:, 1:], by=name)
    with pytest.raises(UsageError, match="NaN or infinity"):
        similarity(A, np.where(A > 0.5, np.nan, A), by=name)


def test_misuse() -> None:
    with pytest.raises(UsageError, match="did you mean 'spearman'"):
        similarity(A, B, by="spermann")
    with pytest.raises(UsageError, match=r"sides of 11 at least, got \[5, 17\]"):
        ssim(A[:5], B[:5])
