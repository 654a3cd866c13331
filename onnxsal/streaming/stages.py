"""Means of scores from draws that were allocated stage by stage, and what their errors do to a map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.student import NORMAL, student
from onnxsal.records import Moments
from onnxsal.streaming.allocation import Indices, Order, Stage
from onnxsal.streaming.moments import Accumulator, Arrays

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

DIRECTIONS = 64
"""Random signs of the weights' errors: their spread is known to 1 / sqrt(2 x 64) = 9 %, at every position apart."""

FIRST_COUNTS = 0.25
"""What a draw of the first stage counts beside one of the later: it was not allocated at all."""


GUESSED = 4.0
"""How many draws the guess of a mask's spread counts beside its own: of few draws it is the better one."""

TAILS = 8.0
"""The excess of the scores' fourth moment over squared variation: 6 in a gamma law, 16 and more in a lognormal one."""

LEAST_FREEDOM = 5.0
"""Degrees of freedom that a map is taken to have at least; its intervals grow by 31 % at most."""


class Stages(Accumulator):
    """Counts, sums and sums of squares of one output by stage and mask; each stage estimates all means by itself.

    A stage's estimate is what it foresaw plus what its draws say against that, each over the number of draws that the
    mask had in expectation: ``m + sum (y - m) / e``. Counts are right in expectation, and m and e are decided before,
    so it is unbiased, with a mask that happened to get no draw as well.
    """

    def __init__(self, moments: Moments, order: Order) -> None:
        super().__init__(moments, masks=len(order.stages[0].expected), groups=1, squares=True)
        self._name, self._order = moments.names[0], order
        self._stages: list[Doubles] = []

    def adding(self, outputs: Arrays, samples: Indices, masks: Indices) -> Callable[[], None]:
        """Return the step that takes in one batch, all of one stage: the next is known only after it."""
        done = self._stages[: len(self._order.stages) - 1]
        begun = self._stages[len(done) :]
        stage = begun[0].copy() if begun else np.zeros((3, self.counts.shape[1]))
        y = outputs[self._name].astype(np.float64).reshape(-1)
        for store, value in zip(stage, (np.ones_like(y), y, y * y), strict=True):
            np.add.at(store, masks, value)
        return partial(setattr, self, "_stages", [*done, stage])

    def so_far(self) -> tuple[Doubles, Doubles]:
        """Return how often each mask was drawn, and the sums of its scores, [K]."""
        counts, sums, _ = np.sum(self._stages, axis=0)
        return counts, sums

    def drawn(self) -> Floats:
        """Return 1 for every mask: those without a draw stand for themselves by what was foreseen."""
        return np.ones(self.counts.shape[1], np.float32)

    def totals(self, leave_out: int | None = None) -> dict[str, Floats]:
        """Return ``mean/<name>`` [K]: the mean of the stages' estimates, by numbers that no score decided."""
        mean = sum(
            weight * (stage.predicted + _over(sums - counts * stage.predicted, stage.expected * share))
            for weight, share, stage, (counts, sums, _) in self._weighted()
        )
        return {f"mean/{self._name}": np.asarray(mean, np.float32)}

    def errors(self) -> Doubles | None:
        """Return the standard error of every mask's mean, [K]; None before one of them was drawn twice."""
        spread = self._spread()
        return None if spread is None else spread[0]

    def widening(self) -> float:
        """Return by how much a normal interval of the map has to be wider, at 95 %, for what draws say of their spread.

        Student's factor for the degrees of freedom of the whole map, a sum of variances each known by its own
        (Satterthwaite 1946); map k counts as its |A_k|^2 says.
        """
        spread = self._spread()
        if spread is None:
            return 1.0
        errors, freedom = spread
        parts = (self._order.sizes * errors) ** 2
        whole = _over(np.square(parts.sum(keepdims=True)), (parts**2 / freedom).sum(keepdims=True))
        return student(max(float(whole[0]), LEAST_FREEDOM)) / NORMAL if parts.any() else 1.0

    def _spread(self) -> tuple[Doubles, Doubles] | None:
        """Return the standard error of every mask's mean and its degrees of freedom, [K] each."""
        counts, sums, _ = np.sum(self._stages, axis=0) if self._stages else np.zeros((3, 1))
        if counts.sum() <= self.counts.shape[1]:
            return None
        predicted, spreads = self._order.guessed(counts, sums)
        noise = self._noise(counts, sums, spreads)
        parts = [weight**2 * _variance(share, stage, found, noise) for weight, share, stage, found in self._weighted()]
        variation = np.zeros_like(noise) if (sums < 0).any() else _over(noise, predicted**2)
        return np.asarray(np.sqrt(np.sum(parts, axis=0)), np.float64), _freedom(counts, variation)

    def _noise(self, counts: Doubles, sums: Doubles, spreads: Doubles) -> Doubles:
        """Return the variance of every mask's scores, [K]: that of its own, and a few draws' worth of what is guessed.

        The guess is of the size that all masks' scores have for theirs.
        """
        freedom = np.maximum(counts - 1, 0)
        own = freedom * self.own_noise(counts, sums)
        scale = own.sum() / max((freedom * spreads**2).sum(), np.finfo(float).tiny)
        return np.asarray((own + GUESSED * scale * spreads**2) / (freedom + GUESSED), np.float64)

    def own_noise(self, counts: Doubles, sums: Doubles) -> Doubles:
        """Return the variance of every mask's own scores, [K]; 0 for one drawn once.

        A draw counts by one over those to expect in its stage, as in the means: masks whose first scores were alike by
        chance are drawn less, so that plain sums of squares come out too small.
        """
        mean, found = _over(sums, counts), np.zeros_like(sums)
        for weight, share, stage, (number, total, squares) in self._weighted():
            apart = np.maximum(squares - 2 * mean * total + number * mean**2, 0)
            found += weight * _over(apart, stage.expected * share)
        return found * _over(counts, np.maximum(counts - 1, 0))

    def _weighted(self) -> Iterator[tuple[float, float, Stage, Doubles]]:
        """Yield of every stage its weight, the share of it that was drawn, what was decided, and what was found."""
        taken = np.array([found[0].sum() for found in self._stages])
        counting = taken * np.where(np.arange(len(taken)) == 0, FIRST_COUNTS, 1)
        parts = zip(taken, counting / counting.sum(), self._order.stages, self._stages, strict=False)
        for number, weight, stage, found in parts:
            yield float(weight), float(number / stage.size), stage, found


def _freedom(counts: Doubles, variation: Doubles) -> Doubles:
    """Return the degrees of freedom of variances from so many draws, [K]; fewer than n - 1 where scores have tails.

    The variance of a sample variance is s^4 (2 / (n - 1) + k / n), k the excess of the fourth moment.

    Args: variation: variance over squared mean, [K].
    """
    known = counts + GUESSED
    return np.asarray(2 / (TAILS * variation / known + 2 / np.maximum(known - 1, 1)), np.float64)


def _variance(share: float, stage: Stage, found: Doubles, noise: Doubles) -> Doubles:
    """Return the variance of one stage's estimates, [K].

    The scores' own by the expected count e, and that of the count itself, which is rounded, and thinned where the stage
    was not ended, times how far the mean is from what was foreseen: by sum (y - m)^2 / e, less the scores' own.
    """
    counts, sums, squares = found
    expected, part = stage.expected * share, stage.expected % 1
    rounding = _over(1 - share, expected) + _over(part * (1 - part), stage.expected**2)
    apart = _over(squares - 2 * stage.predicted * sums + counts * stage.predicted**2, expected) - noise
    return np.asarray(np.maximum(_over(noise, expected) + rounding * apart, 0), np.float64)


def _over(value: Doubles | float, by: Doubles) -> Doubles:
    """Return value / by, and 0 where ``by`` is 0."""
    return np.asarray(np.divide(value, by, out=np.zeros_like(by), where=by > 0), np.float64)


def propagated(value: Callable[[Floats], Floats], mean: Floats, error: Doubles) -> Floats:
    """Return the standard error of ``value(mean)`` where the means' errors are independent of each other.

    Every mean moves by its error, up or down at random and back; the mean square of half the difference is the
    variance: exact in expectation for what is linear, and for what is not a secant over one standard error.
    """
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (DIRECTIONS, len(mean)))
    halves = [(value(_moved(mean, s * error)) - value(_moved(mean, -s * error))) / 2 for s in signs]
    return np.asarray(np.sqrt(np.mean(np.square(halves, dtype=np.float64), axis=0)), np.float32)


def _moved(mean: Floats, by: Doubles) -> Floats:
    return np.asarray(mean + by, np.float32)
