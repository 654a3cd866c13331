"""The jackknife by groups against its definition, group by group in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from onnxsal.kernels.jackknife import STEP, jackknife, means_without

RNG = np.random.default_rng(0)
SIZES = np.array([7, 6, 6, 9])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_errors_are_those_of_pseudo_values(dtype: type) -> None:
    shape = (3, STEP // 2 + 1)  # more than one pass, the last of them short
    whole = RNG.normal(5, 1, shape).astype(dtype)
    without = (whole + RNG.normal(0, 0.1, (4, *shape))).astype(dtype)
    h = (SIZES.sum() / SIZES)[:, None, None]
    pseudo = h * whole - (h - 1) * without.astype(float)
    estimate = 4 * whole.astype(float) - ((1 - 1 / h) * without).sum(axis=0)
    wanted = np.sqrt(((pseudo - estimate) ** 2 / (h - 1)).mean(axis=0))
    found = jackknife(whole, without, SIZES.sum() / SIZES)
    assert found.dtype == np.float32
    assert_allclose(found, wanted, rtol=1e-6)


def test_what_is_left_is_the_mean_of_all_other_samples() -> None:
    y, groups = RNG.normal(size=(28, 5, 6)), np.repeat(np.arange(4), SIZES)
    sums = np.stack([y[groups == g].sum(axis=0) for g in range(4)])
    left_out = np.array([2, 0])
    found = means_without(sums.sum(axis=0), sums, left_out, SIZES.sum() - SIZES[left_out].astype(float))
    for g, mean in zip(left_out, found, strict=True):
        assert_allclose(mean, y[groups != g].mean(axis=0), rtol=1e-5, atol=1e-7)
