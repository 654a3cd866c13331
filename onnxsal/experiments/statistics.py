"""Means and shares with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.student import NORMAL, student

_DRAWS = 4000
_FEW = 10
"""Below so many values a bootstrap is too sure of itself, and Student's t takes its place."""


@dataclass(frozen=True)
class Estimate:
    """A mean or a share, the ends of its 95 % interval, and of how many units it is; without any it is NaN."""

    value: float
    low: float
    high: float
    n: int

    def within(self, least: float, most: float) -> Estimate:
        """Return the estimate of something that has no value beyond these, and so no interval; NaN stays."""
        if not math.isfinite(self.low):
            return self
        return Estimate(self.value, max(self.low, least), min(self.high, most), self.n)

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
        half = student(len(known) - 1) * float(known.std(ddof=1)) / math.sqrt(len(known))
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
    return Estimate(hits / of, *_wilson(hits / of, of, NORMAL), of)


def _wilson(p: float, of: float, z: float) -> tuple[float, float]:
    """The ends of Wilson's interval of a share p of so many trials, at a quantile z."""
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return max(0.0, centre - half), min(1.0, centre + half)


def grouped_share(hits: Sequence[int], of: Sequence[int]) -> Estimate:
    """Return the pooled share of trials that come in groups (persons, pictures), with its interval; n: the groups.

    Trials of one group are alike, so that they count as fewer: Wilson's interval is taken at their number over the
    design effect, with the quantile of Student's t of (groups - 1) degrees. It has a width even where all trials
    agree, which resampled groups have not. Groups without trials are left out; one group alone is taken as trials.
    """
    top, bottom = np.asarray(hits, np.float64), np.asarray(of, np.float64)
    top, bottom = top[bottom > 0], bottom[bottom > 0]
    if len(top) < 2:
        return share(int(top.sum()), int(bottom.sum()))
    p = float(top.sum() / bottom.sum())
    effective = float(bottom.sum()) / _design_effect(top, bottom)
    return Estimate(p, *_wilson(p, effective, student(len(top) - 1)), len(top))


def _design_effect(hits: NDArray[np.float64], of: NDArray[np.float64]) -> float:
    """How much larger the variance of a pooled share is than if all trials were independent, at least 1.

    The variance is that of a ratio of totals over groups (linearised; Kish 1965). Where all trials agree it tells
    nothing of how alike those of a group are: then a group counts once.
    """
    count, trials = len(of), float(of.sum())
    p = float(hits.sum()) / trials
    if p in (0.0, 1.0):
        return trials / count
    variance = count / (count - 1) * float(((hits - p * of) ** 2).sum()) / trials**2
    return max(1.0, variance / (p * (1 - p) / trials))


def pair_mean(table: NDArray[np.float64]) -> Estimate:
    """Return the mean over pairs of units with its interval, from a symmetric table [n, n]; n: the units.

    Pairs that share a unit are alike, so units are left out one at a time (the jackknife of a U-statistic; Arvesen
    1969, Annals of Mathematical Statistics 40), at Student's t of n - 1 degrees. Two units are a single pair: no
    interval (NaN). The diagonal does not count.
    """
    count = len(table)
    off = np.where(np.eye(count, dtype=bool), 0.0, table)
    total, own = float(off.sum()), off.sum(axis=1)
    nothing = float("nan")
    if count < 2:
        return Estimate(nothing, nothing, nothing, count)
    centre = total / (count * (count - 1))
    if count < 3:
        return Estimate(centre, nothing, nothing, count)
    without = (total - 2 * own) / ((count - 1) * (count - 2))
    half = student(count - 1) * math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    return Estimate(centre, centre - half, centre + half, count)
