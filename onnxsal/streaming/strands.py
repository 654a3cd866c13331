"""Means of scores in two strands, and what their errors do to a map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onnxsal.records import Moments
from onnxsal.streaming.allocation import STRANDS, Indices
from onnxsal.streaming.moments import Accumulator, Arrays

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

DIRECTIONS = 64
"""Random signs of the weights' errors: their spread is known to 1 / sqrt(2 x 64) = 9 %, at every position apart."""


class Strands(Accumulator):
    """Sums by strand and mask of one output; the mean of a mask is that of its strands' means."""

    def __init__(self, moments: Moments, masks: int) -> None:
        super().__init__(moments, masks=masks, groups=STRANDS, squares=True)
        self._name = moments.names[0]

    def add(self, outputs: Arrays, samples: Indices, masks: Indices) -> None:
        """Take in one batch, every draw of it at once: each has noise of its own, so none waits for its sample."""
        self._add_by_mask(outputs, samples, masks)

    def means(self) -> Doubles:
        """Return the mean of every strand and mask, [STRANDS, K]; NaN where nothing was drawn."""
        return np.asarray(self._sums[self._name] / np.where(self.counts > 0, self.counts, np.nan), np.float64)

    def totals(self, leave_out: int | None = None) -> dict[str, Floats]:
        """Return ``mean/<name>`` [K], each strand counting alike however many samples it has of a mask."""
        means, chosen = self.means(), [g for g in range(STRANDS) if g != leave_out]
        there = np.maximum((self.counts[chosen] > 0).sum(axis=0), 1)
        return {f"mean/{self._name}": (np.nan_to_num(means[chosen]).sum(axis=0) / there).astype(np.float32)}

    def errors(self) -> Doubles | None:
        """Return the standard error of every mask's mean, [K]; None before both strands hold all masks."""
        if not (self.counts > 0).all():
            return None
        n = self.counts.sum(axis=0)
        sums, squares = (s[self._name].sum(axis=0) for s in (self._sums, self._squares))
        variance = np.maximum(squares - sums * sums / n, 0) / (n - 1)
        return np.asarray(np.sqrt(variance * (1 / self.counts).sum(axis=0)) / STRANDS, np.float64)


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
