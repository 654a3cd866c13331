"""Imputation against a dense solution of the system, and what it keeps exactly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.kernels.impute import impute

RNG = np.random.default_rng(0)
X = RNG.random((3, 23, 18)).astype(np.float32) * 255


def dense(x: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return the picture whose gone pixels are the weighted mean of their neighbours inside it, by a dense solver."""
    count, index = int(gone.sum()), np.cumsum(gone).reshape(gone.shape) - 1
    system, given = np.eye(count), np.zeros((count, len(x)))
    for y, column in np.argwhere(gone):
        steps = [(dy, dx) for dy, dx in itertools.product((-1, 0, 1), repeat=2) if dy or dx]
        near = [(y + dy, column + dx, 1 if dy and dx else 2) for dy, dx in steps]
        near = [(v, u, w) for v, u, w in near if 0 <= v < gone.shape[0] and 0 <= u < gone.shape[1]]
        for v, u, weight in near:
            share = weight / sum(w for *_, w in near)
            if gone[v, u]:
                system[index[y, column], index[v, u]] -= share
            else:
                given[index[y, column]] += share * x[:, v, u]
    found = x.astype(np.float64)
    found[:, gone] = np.linalg.solve(system, given).T
    return found


DIAGONAL = np.add.outer(np.arange(23), np.arange(18))
GONE = {
    "few": RNG.random((23, 18)) < 0.1,
    "half": RNG.random((23, 18)) < 0.5,
    "nearly all": RNG.random((23, 18)) < 0.97,
    "a corner left": DIAGONAL > 4,
    "a hole": (np.abs(np.arange(23) - 11)[:, None] < 8) & (np.abs(np.arange(18) - 9) < 6),
    "all but one": DIAGONAL > 0,
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE.keys())
def test_it_is_the_dense_solution(gone: np.ndarray) -> None:
    expected = dense(X, gone)
    np.testing.assert_allclose(impute(X, gone, tolerance=1e-7), expected, atol=255 * 2e-4)
    np.testing.assert_allclose(impute(X, gone), expected, atol=255 * 5e-3)


def test_what_is_left_stays_bit_for_bit_and_what_is_gone_plays_no_part() -> None:
    gone = GONE["half"]
    found = impute(X, gone)
    np.testing.assert_array_equal(found[:, ~gone], X[:, ~gone])
    np.testing.assert_array_equal(found, impute(np.where(gone, 1e6, X), gone))


def test_a_slope_goes_on_inside() -> None:
    """A linear picture is the mean of its neighbours, so a hole in it is filled exactly."""
    slope = np.broadcast_to(np.add.outer(2.0 * np.arange(23), np.arange(18)), (1, 23, 18))
    np.testing.assert_allclose(impute(slope, GONE["a hole"], tolerance=1e-7), slope, atol=60 * 2e-4)


def test_nothing_gone_and_flat_pictures() -> None:
    np.testing.assert_array_equal(impute(X, np.zeros((23, 18), bool)), X)
    np.testing.assert_array_equal(impute(np.full((1, 23, 18), 3.5), GONE["half"]), np.full((1, 23, 18), 3.5))


@pytest.mark.parametrize("size", [(1, 40), (2, 2), (40, 1), (9, 200)])
def test_thin_pictures(size: tuple[int, int]) -> None:
    x = RNG.random((1, *size)).astype(np.float32)
    gone = RNG.random(size) < 0.6
    gone.flat[0] = False
    np.testing.assert_allclose(impute(x, gone, tolerance=1e-7), dense(x, gone), atol=2e-4)


def test_misuse() -> None:
    with pytest.raises(UsageError, match="every pixel is gone"):
        impute(X, np.ones((23, 18), bool))
    with pytest.raises(UsageError, match=r"got a picture of \[3, 23, 18\] and gone pixels of \[3, 3\]"):
        impute(X, np.ones((3, 3), bool))
