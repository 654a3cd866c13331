"""Means with intervals, and which differences between methods are more than chance.

Methods are compared on the same pictures, so differences are taken picture by picture. An interval is the percentile
bootstrap's over pictures, with the same draws for all methods; of few pictures, where the bootstrap is too sure of
itself, Student's. A difference is tested by flipping the signs of the
pictures' differences at random, exactly where there are few pictures; the p-values of all pairs of methods under one
metric are corrected by Holm's procedure, so that among all of them the chance of a false finding stays below alpha.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.student import student

Doubles = NDArray[np.float64]

DRAWS, FLIPS, LEVEL, ALPHA = 2000, 20_000, 0.95, 0.05
_AT_ONCE = 1000
_EXACT_UP_TO = 14
"""Pictures for which all sign patterns are gone through."""
_FEW = 10
"""Below so many pictures the bootstrap's 95 % cover less than 90, and Student's t takes its place."""
_LEAST = 3
"""Of two pictures Student's interval would be 12.7 standard errors to both sides, which says nothing."""

PROCEDURE = (
    f"Means over pictures with {LEVEL:.0%} percentile bootstrap intervals ({DRAWS} draws of pictures, the same for all "
    f"methods); below {_FEW} pictures Student's t, below {_LEAST} none. Differences: paired sign-flip test, "
    f"two-sided ({FLIPS} flips; all up to {_EXACT_UP_TO} pictures), corrected by Holm over all pairs of methods "
    f"under a metric; more than chance means corrected p < {ALPHA}."
)


@dataclass(frozen=True)
class Mean:
    """The mean of a metric over pictures or detections, with its interval; ``n`` of them have a value."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference:
    """The mean of a minus b over the pictures that both have, its interval, and how likely chance makes as much."""

    a: str
    b: str
    value: float
    low: float
    high: float
    p: float
    corrected: float
    n: int

    @property
    def more_than_chance(self) -> bool:
        """Whether the corrected p-value is below ``ALPHA``."""
        return self.corrected < ALPHA


Values = Mapping[str, Mapping[str, float]]
"""A metric's values by method and picture; NaN counts as none."""

Owners = Mapping[str, str]
"""The picture that each value's name is of, where one picture has several values; other names are pictures."""

_NO_OWNERS: Owners = MappingProxyType({})


def means(
    values: Values,
    ends: tuple[float, float] = (-math.inf, math.inf),
    seed: int = 0,
    owners: Owners = _NO_OWNERS,
) -> dict[str, Mean]:
    """Return the mean of every method with its interval; all are resampled by the same draws of pictures.

    Args: ends: the least and the greatest value, beyond which no interval reaches. owners: a draw takes all values of a
        picture or none, because they are not independent.
    """
    names = sorted({owners.get(name, name) for each in values.values() for name in each})
    draws = drawn(len(names), seed)
    return {method: _mean(*_columns(each, names, owners), draws, ends) for method, each in values.items()}


def _columns(values: Mapping[str, float], names: Sequence[str], owners: Owners) -> tuple[Doubles, NDArray[np.intp]]:
    """Return the sum of each picture's values, NaN where it has none, and how many these are."""
    places = {name: at for at, name in enumerate(names)}
    sums, counts = np.zeros(len(names)), np.zeros(len(names), np.intp)
    for name, value in values.items():
        if math.isfinite(value):
            sums[places[owners.get(name, name)]] += value
            counts[places[owners.get(name, name)]] += 1
    return np.where(counts > 0, sums, np.nan), counts


def drawn(count: int, seed: int) -> NDArray[np.intp]:
    """Return which of so many pictures each bootstrap draw takes, [DRAWS, count]."""
    return np.random.default_rng(seed).integers(0, max(count, 1), (DRAWS, count))


def _mean(column: Doubles, each: NDArray[np.intp], draws: NDArray[np.intp], ends: tuple[float, float]) -> Mean:
    known, count = np.isfinite(column), int(each.sum())
    if count == 0:
        return Mean(float("nan"), float("nan"), float("nan"), 0)
    low, high = np.clip(interval(column, draws, each), *ends)
    return Mean(float(column[known].sum() / count), float(low), float(high), count)


def interval(column: Doubles, draws: NDArray[np.intp], each: NDArray[np.intp] | None = None) -> tuple[float, float]:
    """Return the ends of a mean's interval, NaN for one or two pictures; draws without a value are left out.

    Args: each: of how many values each of the column is the sum; by default of one. The mean is then that of all
        values, a ratio of two sums, and its error that of the pictures' distances from it.
    """
    known = np.isfinite(column)
    each = known.astype(np.intp) if each is None else each
    count = int(known.sum())
    if count < _LEAST:
        return float("nan"), float("nan")
    if count < _FEW:
        total = each[known].sum()
        centre = column[known].sum() / total
        apart = column[known] - centre * each[known]
        half = student(count - 1) * np.sqrt((apart**2).sum() * count / (count - 1)) / total
        return float(centre - half), float(centre + half)
    counts = each[draws].sum(axis=1)
    sums = np.where(known, column, 0.0)[draws].sum(axis=1)
    drawn = sums[counts > 0] / counts[counts > 0]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def differences(
    values: Values,
    ends: tuple[float, float] = (-math.inf, math.inf),
    seed: int = 0,
    owners: Owners = _NO_OWNERS,
) -> list[Difference]:
    """Return every pair of methods compared, in the order of the methods; pairs that share no picture are left out.

    Args: ends: the metric's; no interval reaches beyond the difference of the two. owners: signs are flipped picture by
        picture.
    """
    gaps = {pair: _gaps(values, pair, owners) for pair in itertools.combinations(values, 2)}
    kept = {pair: each for pair, each in gaps.items() if len(each[0])}
    p = _all_p({pair: sums for pair, (sums, _) in kept.items()}, seed)
    corrected = dict(zip(p, holm(list(p.values())), strict=True))
    spans = {pair: _span(*each, ends, seed) for pair, each in kept.items()}
    return [
        Difference(*pair, float(sums.sum() / each.sum()), *spans[pair], p[pair], corrected[pair], int(each.sum()))
        for pair, (sums, each) in kept.items()
    ]


Pair = tuple[str, str]


def _gaps(values: Values, pair: Pair, owners: Owners) -> tuple[Doubles, NDArray[np.intp]]:
    """Return the sums of the pictures' differences, and of how many each is."""
    a, b = (values[name] for name in pair)
    gaps = {name: a[name] - b[name] for name in sorted(a) if name in b}
    sums, each = _columns(gaps, sorted({owners.get(name, name) for name in gaps}), owners)
    return sums[each > 0], each[each > 0]


def _all_p(gaps: Mapping[Pair, Doubles], seed: int) -> dict[Pair, float]:
    """The p-values of all pairs; those of equally many pictures are tested by the same signs together."""
    found: dict[Pair, float] = {}
    for count in sorted({len(each) for each in gaps.values()}):
        pairs = [pair for pair, each in gaps.items() if len(each) == count]
        tested = sign_flips(np.stack([gaps[pair] for pair in pairs], axis=1), seed)
        found.update(zip(pairs, tested.tolist(), strict=True))
    return {pair: found[pair] for pair in gaps}


def _span(gaps: Doubles, each: NDArray[np.intp], ends: tuple[float, float], seed: int) -> tuple[float, float]:
    most = ends[1] - ends[0]
    low, high = np.clip(interval(gaps, drawn(len(gaps), seed), each), -most, most)
    return float(low), float(high)


def sign_flips(gaps: Doubles, seed: int = 0) -> Doubles:
    """Return the share of sign patterns under which a mean is as far from 0 as it is, two-sided p, by column.

    Args: gaps: [pictures, columns].
    """
    seen = np.abs(gaps.sum(axis=0)) * (1 - 1e-12)
    if len(gaps) <= _EXACT_UP_TO:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(gaps))))
        return np.asarray((np.abs(signs @ gaps) >= seen).mean(axis=0), np.float64)
    random, beyond = np.random.default_rng(seed), np.ones(gaps.shape[1])
    for _ in range(FLIPS // _AT_ONCE):
        signs = random.integers(0, 2, (_AT_ONCE, len(gaps)), dtype=np.int8) * 2.0 - 1.0
        beyond += (np.abs(signs @ gaps) >= seen).sum(axis=0)
    return beyond / (FLIPS + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: the smallest times n, the next times n - 1; never falling."""
    corrected = [0.0] * len(p)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[at]))
        corrected[at] = highest
    return corrected
