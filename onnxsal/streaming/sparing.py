"""Which maps are scored where a limit spares some, and the moments of all from the scores of those."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onnxsal.records import Foreseen, Moments
from onnxsal.streaming.foresight import Foresight, View, next_size
from onnxsal.streaming.moments import Accumulator, Arrays
from onnxsal.streaming.process import TINY

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

DIRECTIONS = 64
"""Maps drawn from what is known, for the error of what is made of the map: known to 1 / sqrt(2 x 64) = 9 %."""

TOLD = 16
"""Scores that tell an error."""

MODEL = 1.5
"""By how much errors are larger than a process says that is not the model, and that is asked until it says little: of
three models' errors, each of two dozen photographs, about 95 of 100 are then below what is stated."""

UPPER = 1.644854
"""The 95 % quantile of the normal law."""


class Sparing:
    """Which mask every draw is of: a mask's samples one after the other, and the masks stage by stage."""

    def __init__(self, kind: Foreseen, grids: Floats, masks: Floats, samples: int) -> None:
        """Args: grids: the maps, [K, h, w]. masks: as they lie on the picture. samples: draws a mask."""
        self.each, self.positions = samples, int(np.prod(grids.shape[1:]))
        self._foresight = Foresight(kind, grids.astype(np.float64), masks.astype(np.float64))
        self._chosen = self._foresight.begin()

    @property
    def known(self) -> int:
        """How many draws are known."""
        return self.each * len(self._chosen)

    @property
    def masks(self) -> Indices:
        """The mask of every draw that is known."""
        return np.repeat(self._chosen, self.each)

    @property
    def samples(self) -> Indices:
        """The sample of every draw that is known."""
        return np.tile(np.arange(self.each), len(self._chosen))

    def settle(self, counts: Doubles, sums: Doubles) -> None:
        """Make one more stage known. Args: the draws of every mask so far and the sums of their scores, [K]."""
        view = self.look(counts, sums)
        self._chosen = np.concatenate([self._chosen, view.next(next_size(len(view.drawn)))])

    def look(self, counts: Doubles, sums: Doubles) -> View:
        """Return what the scores so far say of the map; a mask without all its samples has none."""
        drawn = self._chosen[counts[self._chosen] == self.each]
        return self._foresight.look(drawn, sums[drawn] / self.each)

    @property
    def widening(self) -> float:
        """By how much errors were larger than was said beforehand; below 1 where they were smaller."""
        return self._foresight.widening


class Spared(Accumulator):
    """The scores of some masks; where all are wanted, those of the others as they are foreseen."""

    def __init__(self, moments: Moments, order: Sparing, masks: int) -> None:
        super().__init__(moments, masks=masks, groups=1, squares=False)
        self._name, self._order = moments.names[0], order
        self._found = np.zeros((2, masks))

    def adding(self, outputs: Arrays, samples: Indices, masks: Indices) -> Callable[[], None]:
        """Return the step that takes in one batch."""
        found, scores = self._found.copy(), outputs[self._name].astype(np.float64).reshape(-1)
        for store, value in zip(found, (np.ones_like(scores), scores), strict=True):
            np.add.at(store, masks, value)
        return partial(setattr, self, "_found", found)

    def so_far(self) -> tuple[Doubles, Doubles]:
        """Return how often each mask was drawn, and the sums of its scores, [K]."""
        counts, sums = self._found
        return counts, sums

    @property
    def scored(self) -> int:
        """How many masks have their score."""
        return int((self._found[0] == self._order.each).sum())

    def drawn(self) -> Floats:
        """Return 1 for every mask: those without a score count as they are foreseen."""
        return np.ones(self.counts.shape[1], np.float32)

    def totals(self, leave_out: int | None = None) -> dict[str, Floats]:
        """Return ``mean/<name>``, [K]; there is but one group."""
        return {f"mean/{self._name}": self._scores().astype(np.float32)}

    def _scores(self) -> Doubles:
        counts, sums = self._found
        if self.scored == len(counts):
            return np.asarray(sums / counts, np.float64)
        return self._order.look(counts, sums).all_scores

    def error(self) -> Doubles | None:
        """Return the covariance of the map's error over its positions, [P, P]; None where too few scores tell it.

        It is so wide that, of 100 maps, the errors of about 95 have a norm below the root of its trace.
        """
        counts, sums = self._found
        if self.scored == len(counts):
            return np.zeros((self._order.positions, self._order.positions))
        if self.scored < TOLD:
            return None
        error = self._order.look(counts, sums).error
        return np.asarray(error * (MODEL * self._order.widening) ** 2 * _widest(error), np.float64)


def _widest(error: Doubles) -> float:
    """Return the 95 % quantile of the squared norm of a normal vector over its mean, from the vector's covariance.

    That of a chi square law with as many degrees of freedom as give the norm's variance (Satterthwaite 1946), by the
    cube root's normal law (Wilson & Hilferty 1931).
    """
    freedom = float(np.trace(error)) ** 2 / max(float(np.square(error).sum()), TINY**2)
    part = 2 / (9 * max(freedom, 1.0))
    return float((1 - part + UPPER * np.sqrt(part)) ** 3)


def spread(value: Callable[[Floats], Floats], saliency: Floats, error: Doubles) -> Floats:
    """Return the standard error of ``value(map)`` from the covariance of the map's: it is moved at random and back."""
    size, turned = np.linalg.eigh(error)
    moves = np.random.default_rng(0).normal(size=(DIRECTIONS, len(size))) @ (turned * np.sqrt(np.maximum(size, 0))).T
    halves = [(value(_by(saliency, move)) - value(_by(saliency, -move))) / 2 for move in moves]
    return np.asarray(np.sqrt(np.mean(np.square(halves, dtype=np.float64), axis=0)), np.float32)


def _by(saliency: Floats, move: Doubles) -> Floats:
    return np.maximum(saliency + move.reshape(saliency.shape), 0).astype(np.float32)
