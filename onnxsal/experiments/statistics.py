"""Means and shares with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 4000
_FEW = 10
"""Below so many values a bootstrap is too sure of itself, and Student's t takes its place."""
# 97.5 % quantiles of Student's t with 1 to 8 degrees of freedom.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306)
_NORMAL = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A mean or a share, the ends of its 95 % interval, and of how many units it is; without any it is NaN."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "-"
        if not math.isfinite(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def mean(values: Sequence[float] | NDArray[np.float64], *, seed: int = 0) -> Estimate:
    """Return the mean of units with its interval: bootstrap percentiles from ten units on, Student's t below.

    NaN is left out; a single unit has no interval (NaN).
    """
    known = np.asarray(values, np.float64).reshape(-1)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        nothing = float("nan")
        return Estimate(float(known[0]) if len(known) else nothing, nothing, nothing, len(known))
    centre = float(known.mean())
    if len(known) < _FEW:
        half = _STUDENT[len(known) - 2] * float(known.std(ddof=1)) / math.sqrt(len(known))
        return Estimate(centre, centre - half, centre + half, len(known))
    low, high = np.percentile(_resampled(known, seed), [2.5, 97.5])
    return Estimate(centre, float(low), float(high), len(known))


def _resampled(known: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    found: NDArray[np.float64] = known[rng.integers(0, len(known), (_DRAWS, len(known)))].mean(axis=1)
    return found


def share(hits: int, of: int) -> Estimate:
    """Return a share of independent trials with Wilson's interval (1927, JASA 22)."""
    if of == 0:
        nothing = float("nan")
        return Estimate(nothing, nothing, nothing, 0)
    p, z = hits / of, _NORMAL
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half), of)


def grouped_share(hits: Sequence[int], of: Sequence[int], *, seed: int = 0) -> Estimate:
    """Return the pooled share of trials that come in groups (persons, pictures), with its interval.

    Groups are resampled whole, because trials of one group are alike; below two groups Wilson's interval is given.
    """
    top, bottom = np.asarray(hits, np.float64), np.asarray(of, np.float64)
    if len(top) < 2 or not bottom.sum():
        return share(int(top.sum()), int(bottom.sum()))
    drawn = np.random.default_rng(seed).integers(0, len(top), (_DRAWS, len(top)))
    totals = bottom[drawn].sum(axis=1)
    kept = totals > 0
    low, high = np.percentile(top[drawn].sum(axis=1)[kept] / totals[kept], [2.5, 97.5])
    return Estimate(float(top.sum() / bottom.sum()), float(low), float(high), len(top))
