"""Means of scores from draws that were allocated stage by stage, and what their errors do to a map."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from onnxsal.records import Moments
from onnxsal.streaming.allocation import Indices, Order, Stage
from onnxsal.streaming.moments import Accumulator, Arrays

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

DIRECTIONS = 64
"""Random signs of the weights' errors: their spread is known to 1 / sqrt(2 x 64) = 9 %, at every position apart."""

FIRST_COUNTS = 0.25
"""What a draw of the first stage counts beside one of the later: it was not allocated at all."""


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

    def add(self, outputs: Arrays, samples: Indices, masks: Indices) -> None:
        """Take in one batch, all of one stage: the next is known only when this one is through."""
        if len(self._stages) < len(self._order.stages):
            self._stages.append(np.zeros((3, self.counts.shape[1])))
        y = outputs[self._name].astype(np.float64).reshape(-1)
        for store, value in zip(self._stages[-1], (np.ones_like(y), y, y * y), strict=True):
            np.add.at(store, masks, value)

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
        counts, sums, squares = np.sum(self._stages, axis=0) if self._stages else np.zeros((3, 1))
        if counts.sum() <= self.counts.shape[1]:
            return None
        noise = _noise((counts, sums, squares), self._order.guessed(counts, sums)[1])
        parts = [weight**2 * _variance(share, stage, found, noise) for weight, share, stage, found in self._weighted()]
        return np.asarray(np.sqrt(np.sum(parts, axis=0)), np.float64)

    def _weighted(self) -> Iterator[tuple[float, float, Stage, Doubles]]:
        """Yield of every stage its weight, the share of it that was drawn, what was decided, and what was found."""
        taken = np.array([found[0].sum() for found in self._stages])
        counting = taken * np.where(np.arange(len(taken)) == 0, FIRST_COUNTS, 1)
        parts = zip(taken, counting / counting.sum(), self._order.stages, self._stages, strict=False)
        for number, weight, stage, found in parts:
            yield float(weight), float(number / stage.size), stage, found


def _noise(found: tuple[Doubles, Doubles, Doubles], spreads: Doubles) -> Doubles:
    """Return the variance of every mask's scores, [K]; of those drawn once by what the others have for their spread."""
    counts, sums, squares = found
    freedom = np.maximum(counts - 1, 0)
    apart = np.maximum(squares - sums * _over(sums, counts), 0)
    scale = apart.sum() / max((freedom * spreads**2).sum(), np.finfo(float).tiny)
    return np.asarray(np.where(freedom > 0, _over(apart, freedom), scale * spreads**2), np.float64)


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
