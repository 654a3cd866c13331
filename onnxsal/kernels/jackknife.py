"""Groups of samples left out in turn: their means, and the spread of what was made of them, in one pass each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.native import kernel

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

STEP = 512  # numbers of one pass over all groups: they stay in the processor's first cache


@kernel
def _without(out: Any, whole: Any, sums: Any, groups: Any, counts: Any) -> None:
    for k in range(groups.size):
        own, count = sums[groups[k]], counts[k]
        for i in range(whole.size):
            out[k, i] = (whole[i] - own[i]) / count


@kernel
def _spread(out: Any, whole: Any, without: Any, h: Any) -> None:
    estimate, sums = np.empty(STEP), np.empty(STEP)
    for start in range(0, whole.size, STEP):
        size = min(STEP, whole.size - start)
        estimate[:], sums[:] = 0, 0
        for g in range(h.size):
            share = 1 - 1 / h[g]
            for i in range(size):
                estimate[i] += share * np.float64(without[g, start + i])
        for i in range(size):
            estimate[i] = h.size * np.float64(whole[start + i]) - estimate[i]
        for g in range(h.size):
            for i in range(size):
                pseudo = h[g] * np.float64(whole[start + i]) - (h[g] - 1) * np.float64(without[g, start + i])
                sums[i] += (pseudo - estimate[i]) ** 2 / (h[g] - 1)
        for i in range(size):
            out[start + i] = np.sqrt(sums[i] / h.size)


def means_without(whole: Doubles, sums: Doubles, groups: NDArray[np.int64], counts: Doubles) -> Floats:
    """Return the means of all samples but those of each of some groups, float32 [len(groups), ...].

    Args:
        whole: the sum over all samples, [...].
        sums: those of every group, [G, ...].
        groups: which of them are left out, one at a time.
        counts: how many samples are left then.
    """
    out = np.empty((len(groups), *whole.shape), np.float32)
    flat = np.ascontiguousarray(sums).reshape(len(sums), -1)
    _without(out.reshape(len(out), -1), np.ascontiguousarray(whole).reshape(-1), flat, groups, counts)
    return out


def jackknife(whole: NDArray[Any], without: NDArray[Any], h: Doubles) -> Floats:
    """Return the delete-a-group standard error of any function of the samples, float32 [...].

    Groups may differ in size: h = n / n_j, pseudo-values h V - (h - 1) V_without_j, as in Busing et al. 1999.

    Args:
        whole: the function of all samples, V [...].
        without: that of all samples but those of each group, [G, ...], of the same type.
        h: samples in all over those of each group, [G]; each above 1.
    """
    out = np.empty(whole.shape, np.float32)
    flat = np.ascontiguousarray(without).reshape(len(h), -1)
    _spread(out.reshape(-1), np.ascontiguousarray(whole).reshape(-1), flat, h)
    return out
