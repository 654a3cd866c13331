"""Running sums against NumPy on all rows at once."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from onnxsal.kernels.sums import add_rows

RNG = np.random.default_rng(0)
GROUPS = np.array([2, 0, 2, 1, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("shape", [(7,), (3, 4, 5)])
def test_every_group_gets_the_weighted_sum_of_its_rows_and_of_their_squares(shape: tuple[int, ...], dtype) -> None:
    y, w = RNG.normal(100, 1, (5, *shape)).astype(dtype), RNG.random(5)
    start = RNG.normal(size=(3, *shape))
    sums, squares = start.copy(), start.copy()
    add_rows(y, GROUPS, w, sums, squares)
    alone = start.copy()
    add_rows(y, GROUPS, w, alone)
    exact, column = y.astype(np.float64), w.reshape(-1, *[1] * len(shape))
    for g in range(3):
        rows = g == GROUPS
        assert_allclose(sums[g], start[g] + (column * exact)[rows].sum(0), rtol=1e-12)
        assert_allclose(squares[g], start[g] + (column * exact**2)[rows].sum(0), rtol=1e-12)
    assert (alone == sums).all()


def test_rows_that_do_not_lie_side_by_side_are_read_as_they_are() -> None:
    y = RNG.normal(size=(4, 5)).astype(np.float32).T
    sums = np.zeros((3, 4))
    add_rows(y, GROUPS, np.ones(5), sums)
    assert_allclose(sums[2], y[0].astype(float) + y[2], rtol=1e-12)
