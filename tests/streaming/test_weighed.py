"""Masks weighed with the scores of several targets against NumPy on all masks at once, however they come."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from onnxsal.records import Moments
from onnxsal.streaming.weighed import ROWS, Weighed

RNG = np.random.default_rng(0)
GROUPS, N = 3, 61


@pytest.mark.parametrize("batch", [1, 7, GROUPS * ROWS + 1])
@pytest.mark.parametrize("targets", [1, 9])
def test_sums_are_those_of_all_masks_whenever_they_are_asked_for(targets: int, batch: int) -> None:
    masks, scores = RNG.random((N, 4, 5)).astype(np.float32), RNG.random((targets, N)).astype(np.float32)
    products = scores[..., None, None].astype(float) * masks
    every = [Weighed(Moments(("score",), per="weighted"), groups=GROUPS) for _ in range(targets)]
    for start in range(0, N, batch):
        t = np.arange(start, min(start + batch, N))
        every[0].adding_all(every[1:], [{"score": own[t]} for own in scores], masks[t], t)()
        if start < 20:  # in between too, without counting anything twice
            assert_allclose(every[-1].totals()["mean/score"], products[-1, : t[-1] + 1].mean(0), rtol=1e-5)
    others = [np.arange(N) % GROUPS != g for g in range(GROUPS)]
    for own, sums in zip(products, every, strict=True):
        assert_allclose(sums.totals()["mean/score"], own.mean(0), rtol=1e-6)
        left = sums.means_without([2, 0])
        assert_allclose(left["mean/score"], [own[others[g]].mean(0) for g in (2, 0)], rtol=1e-6)
        assert_allclose(left["mean/mask"], [masks[others[g]].mean(0, dtype=float) for g in (2, 0)], rtol=1e-6)
        assert_allclose(left["mean/score"][1], sums.totals(leave_out=0)["mean/score"], rtol=1e-6)
