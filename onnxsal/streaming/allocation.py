"""Neyman's allocation, learned stage by stage: more draws for the maps whose noise the picture feels, without bias.

The error of ``sum_k alpha_k A_k`` is smallest, for a given number of forwards, where map k gets draws in proportion to
``|A_k| sd_k`` (Neyman 1934). The spread sd_k is guessed from the scores so far, those of similar masks among them.
Every stage, as long as all before it, is allocated by the scores of those before it, and estimates the map by itself:
given the past it is unbiased, whatever the past says, so the mean of the stages is too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

EVEN = 0.15
"""The share that is spread by |A_k| alone, so that no wrong guess can starve a map."""

WIDTH = 0.03
"""Mean squared difference of two normalised masks over which their scores are alike."""

FAR = 1e-3
"""What a mask counts that is like none: where nothing near was drawn, all masks together tell."""

OF_OTHERS = 0.2
"""How many draws of a mask's own the scores of similar masks are worth: little, or models on which they tell nothing
(SqueezeNet) lose more than those on which they tell much (MobileNet) gain."""

LEAST = 0.02
"""The least of 1 - score that the spread is taken to fall with."""


@dataclass(frozen=True)
class Stage:
    """One stage: its number of draws, how many of them each map gets in expectation, and the scores foreseen, [K]."""

    size: int
    expected: Doubles
    predicted: Doubles


class Order:
    """Which mask every draw is of: known at first for the first stage, then stage by stage as scores come in."""

    def __init__(self, maps: Floats, total: int, key: tuple[int, int]) -> None:
        """Every map is drawn once at first: where noise is low, a map without a draw is off by more than its noise.

        Args: maps: [K, h, w], none of them flat. total: draws in all. key: seed and image, for the rounding.
        """
        flat = maps.reshape(len(maps), -1).astype(np.float64)
        self.sizes: Doubles = np.linalg.norm(flat, axis=1)
        self._total, self._key = total, key
        self._likeness = Likeness(flat)
        self._drawn: Indices = np.zeros(len(maps), np.int64)
        self.stages: list[Stage] = []
        self.masks: Indices = np.zeros(0, np.int64)
        self.samples: Indices = np.zeros(0, np.int64)
        self._add(np.zeros(len(maps)), np.full(len(maps), 1 / len(maps)))

    @property
    def known(self) -> int:
        """How many draws are known."""
        return len(self.masks)

    def settle(self, counts: Doubles, sums: Doubles) -> None:
        """Make one more stage known. Args: the draws of every map so far and the sums of their scores, [K]."""
        predicted, spreads = self.guessed(counts, sums)
        self._add(predicted, weights(self.sizes, spreads, EVEN))

    def guessed(self, counts: Doubles, sums: Doubles) -> tuple[Doubles, Doubles]:
        """Return the score to expect of every mask, and what the spread of its scores is in proportion to, [K] each."""
        predicted = self._likeness.predicted(counts, sums)
        return predicted, spread(predicted, sums)

    def _add(self, predicted: Doubles, shares: Doubles) -> None:
        size = min(len(shares) << len(self.stages), self._total) - self.known
        rng = np.random.default_rng([*self._key, len(self.stages)])
        masks, stage = _drawn(shares, size, rng), Stage(size, shares * size, predicted)
        samples = np.concatenate([self.samples, self._drawn[masks] + _rank(masks)])
        drawn = self._drawn + np.bincount(masks, minlength=len(shares))
        known = np.concatenate([self.masks, masks])
        # Only when all of it is there: a stage that memory ran out in is settled again.
        self.stages.append(stage)
        self.masks, self.samples, self._drawn = known, samples, drawn


class Likeness:
    """Which masks are alike, so that the scores of one say something of the others'."""

    def __init__(self, flat: Doubles) -> None:
        """Args: flat: the maps, [K, h w]."""
        low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
        masks = (flat - low) / np.where(high > low, high - low, 1)
        self.coverage: Doubles = np.maximum(masks.mean(axis=1), 1e-6)
        squares = np.square(masks).mean(axis=1)
        apart = squares[:, None] + squares - 2 * masks @ masks.T / masks.shape[1]
        self._near: Doubles = np.exp(-np.maximum(apart, 0) / WIDTH) + FAR

    def predicted(self, counts: Doubles, sums: Doubles) -> Doubles:
        """Return the score to expect of every mask, [K]: that of similar masks, in proportion to what they cover."""
        others = self.coverage * (self._near @ sums) / (self._near @ (counts * self.coverage))
        return np.asarray((OF_OTHERS * others + sums) / (OF_OTHERS + counts), np.float64)


def spread(predicted: Doubles, sums: Doubles) -> Doubles:
    """Return what the spread of every mask's scores is taken to be proportional to, [K].

    It grows as the score does, and falls again where a probability comes near 1. Scores below 0 are no probabilities,
    and the size of a logit says nothing about its spread.
    """
    if (sums < 0).any():
        return np.ones_like(predicted)
    return np.asarray(predicted * np.sqrt(np.maximum(1 - predicted, LEAST)), np.float64)


def weights(sizes: Doubles, spreads: Doubles, even: float) -> Doubles:
    """Return the share of the draws that each map should have, [K], their sum 1."""
    alike = _shares(sizes, np.ones_like(sizes))
    return (1 - even) * _shares(sizes * spreads, alike) + even * alike


def _shares(values: Doubles, otherwise: Doubles) -> Doubles:
    total = values.sum()
    chosen = values if total > 0 else otherwise
    return np.asarray(chosen / chosen.sum(), np.float64)


def _drawn(shares: Doubles, size: int, rng: np.random.Generator) -> Indices:
    """Return the masks of ``size`` draws in random order: each as often as its share says, rounded up or down.

    Systematic sampling: one random number rounds them all, so that each is right in expectation and the sum exactly.
    In random order any beginning has the same shares in expectation, so a stage may end anywhere.
    """
    order = rng.permutation(len(shares))
    edges = np.concatenate([[0], np.cumsum(shares[order]) * size])
    edges[-1] = size
    counts: Indices = np.diff(np.floor(edges + rng.random())).astype(np.int64)
    return rng.permutation(np.repeat(order, counts))


def _rank(masks: Indices) -> Indices:
    """Return how many of the draws before it are of the same mask, for every draw."""
    order = np.argsort(masks, kind="stable")
    grouped = masks[order]
    ranks = np.empty(len(masks), np.int64)
    ranks[order] = np.arange(len(masks)) - np.searchsorted(grouped, grouped)
    return ranks
