"""A map from the scores of some masks: those of the others are foreseen, and the error of the map is known with it.

``sum_k w_k A_k`` is linear in what is not known, so the covariance of its error over positions has a closed form, and
so has what one more score takes off its trace: masks are scored in that order (active learning, Cohn 1996). How far
scores were from what was foreseen of them before, over how far they were said to be, widens what is said of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnxsal.records import Foreseen
from onnxsal.streaming.links import latent, scored, weighed, weights
from onnxsal.streaming.process import TINY, Posterior, Process

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

FIRST = 16
"""Masks that are scored before anything is foreseen."""

STAGE, SHARE = 8, 8
"""Masks of a later stage: so many, or a share of those before."""

REFIT = 1.5
"""By how much the scores have grown when the parameters are chosen again."""

TRUSTED = 8.0
"""Scores that the process' own word on its errors counts, beside those that came after they were foreseen."""

KEPT = 0.8
"""What an older stage counts in that, beside one a stage younger."""


@dataclass(frozen=True)
class View:
    """What some scores say of a map."""

    kind: Foreseen
    maps: Doubles
    """A, [K, P]."""
    drawn: Indices
    scores: Doubles
    """Of the masks drawn, [n]."""
    posterior: Posterior

    @cached_property
    def rest(self) -> Indices:
        """The masks without a score."""
        return np.setdiff1d(np.arange(len(self.maps)), self.drawn)

    @cached_property
    def peak(self) -> float:
        """What is taken off in front of an exponential."""
        return max(float(self.scores.max()), float(scored(self.kind, self.posterior.mean).max()))

    @cached_property
    def _moments(self) -> tuple[Doubles, Doubles, Doubles]:
        return weights(self.kind, self.posterior.mean[self.rest], self.posterior.variance[self.rest], self.peak)

    @cached_property
    def counts(self) -> Doubles:
        """What every map counts, as scored or as expected, [K]."""
        found = np.empty(len(self.maps))
        found[self.drawn] = weighed(self.kind, self.scores, self.peak)
        found[self.rest] = self._moments[0]
        return found

    @property
    def all_scores(self) -> Doubles:
        """The scores that make maps count so, [K]."""
        return np.log(np.maximum(self.counts, 1e-300)) + self.peak if self.kind.softmax else self.counts

    @cached_property
    def pulls(self) -> Doubles:
        """What the map moves by where a map without score counts 1 more, [R, P]; of a quotient to first order."""
        if not self.kind.softmax:
            return self.maps[self.rest]
        total = self.counts.sum()
        return np.asarray((self.maps[self.rest] - self.counts @ self.maps / total) / total, np.float64)

    @cached_property
    def _leaning(self) -> Doubles:
        """Pulls a unit of the latent value, [R, P]."""
        return self.pulls * self._moments[2][:, None]

    @cached_property
    def _moved(self) -> Doubles:
        """Covariances of latent values with the error of the map, [R, P]."""
        return self.posterior.times(self.rest, self._leaning)

    @cached_property
    def _bent(self) -> Doubles:
        """Variance of what maps count beyond what their slope makes of that of the latent values, [R]."""
        _, variance, slope = self._moments
        return np.maximum(variance - np.square(slope) * self.posterior.variance[self.rest], 0)

    @cached_property
    def error(self) -> Doubles:
        """The covariance of the map's error over its positions, [P, P]."""
        return self._leaning.T @ self._moved + (self.pulls * self._bent[:, None]).T @ self.pulls

    def next(self, count: int) -> Indices:
        """Return the masks to score next: each takes most off the trace of the error, given those before it."""
        moved, rest, everyone = self._moved.copy(), self.rest, np.arange(len(self.rest))
        left = np.maximum(self.posterior.variance[rest], TINY)
        bent = self._bent * np.square(self.pulls).sum(axis=1)
        found: list[int] = []
        columns: list[Doubles] = []
        for _ in range(min(count, len(rest))):
            gain = np.square(moved).sum(axis=1) / left + bent
            gain[found] = -1
            best = int(gain.argmax())
            column = self.posterior.covariance(rest[[best]], rest)[0] - sum(c * c[best] for c in columns)
            column /= np.sqrt(max(float(column[best]), TINY))
            moved -= np.outer(column, moved[best] / np.sqrt(left[best]))
            left = np.maximum(left - np.square(column), TINY)
            found.append(int(everyone[best]))
            columns.append(column)
        return rest[found]

    def surprise(self, masks: Indices, scores: Doubles) -> float:
        """Return the sum of squares of how far scores are from what was foreseen, all together, in deviations."""
        apart = latent(self.kind, scores) - self.posterior.mean[masks]
        covariance = self.posterior.covariance(masks, masks)
        covariance += (1e-9 * np.diag(covariance).mean() + TINY) * np.eye(len(masks))  # masks may be the same
        root = np.linalg.cholesky(covariance)
        return float(np.square(np.linalg.solve(root, apart)).sum())


class Foresight:
    """What is known of a map so far; grows by a stage of scores at a time."""

    def __init__(self, kind: Foreseen, maps: Doubles, masks: Doubles) -> None:
        """Args: maps: [K, h, w], what is added up. masks: [K, h, w], what the picture is seen through."""
        self._kind, self._maps, self._process = kind, maps.reshape(len(maps), -1), Process(masks)
        self._refit, self._surprise, self._foreseen = 0.0, TRUSTED, TRUSTED
        self.view: View | None = None

    def begin(self) -> Indices:
        """Return the masks of the first stage."""
        sizes = np.linalg.norm(self._maps, axis=1)
        return self._process.first(min(FIRST, len(sizes)), np.maximum(sizes, TINY))

    def look(self, drawn: Indices, scores: Doubles) -> View:
        """Return what scores say, those of earlier looks first. Args: drawn: which masks they are of."""
        if self.view is not None and len(self.view.drawn) == len(drawn):
            return self.view
        if self.view is not None:
            self._compare(self.view, drawn, scores)
        values = latent(self._kind, scores)
        if len(drawn) >= self._refit:
            self._process.fit(drawn, values)
            self._refit = REFIT * len(drawn)
        self.view = View(self._kind, self._maps, drawn, scores, self._process.posterior(drawn, values))
        return self.view

    def _compare(self, before: View, drawn: Indices, scores: Doubles) -> None:
        new = slice(len(before.drawn), None)
        self._surprise = KEPT * self._surprise + before.surprise(drawn[new], scores[new])
        self._foreseen = KEPT * self._foreseen + len(drawn[new])

    @property
    def widening(self) -> float:
        """By how much errors are wider than the process says."""
        return float(np.sqrt(self._surprise / self._foreseen))


def next_size(drawn: int) -> int:
    """Return how many masks the next stage has."""
    return max(STAGE, drawn // SHARE)
