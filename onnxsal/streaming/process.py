"""A Gaussian process over masks: what the scores of some say of those of all.

The score of a mask is, on the line of its link, a constant, a linear function of the mask, a smooth one, and a part of
its own (Rasmussen & Williams 2006, sections 2.2, 2.7 and 5.4.1). How much there is of each, how smooth, and over how
many cells masks are alike is what makes the scores so far most likely.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

WIDTHS = (0.0, 1.0)
"""Cells over which a mask is averaged before it is compared: neighbouring cells see much the same of a picture."""

LENGTHS = (0.6, 1.2, 2.4, 4.8, 9.6)
"""Scale of the smooth part, in root median distances of two masks."""

LINEAR = (0.0, 0.5, 0.9)
"""Share of the linear part in what masks have in common."""

OWN = (1e-3, 1e-2, 0.05, 0.2)
"""Variance of a mask's own part, over that of what masks have in common."""

FITTED = 256
"""Scores that parameters are chosen by at most: they are well known by then, and time grows with the cube."""

TINY = 1e-12


class Parameters(NamedTuple):
    """How masks go together."""

    width: float
    length: float
    linear: float
    own: float


@dataclass(frozen=True)
class Posterior:
    """What scores say of all masks, on the line: means [K], and covariances ``scale (K - V'V + e e')``."""

    mean: Doubles
    prior: Doubles
    """K, [K, K]."""
    explained: Doubles
    """V, [n, K]."""
    drift: Doubles
    """e, [K]: what is not known of the constant."""
    scale: float

    @cached_property
    def variance(self) -> Doubles:
        """The variance of every mask, [K]."""
        left = np.diag(self.prior) - np.square(self.explained).sum(axis=0) + np.square(self.drift)
        return np.asarray(self.scale * np.maximum(left, 0), np.float64)

    def covariance(self, some: Indices, others: Indices) -> Doubles:
        """Return the covariances of some masks with others."""
        shared = self.explained[:, some].T @ self.explained[:, others] - np.outer(self.drift[some], self.drift[others])
        return np.asarray(self.scale * (self.prior[np.ix_(some, others)] - shared), np.float64)

    def times(self, some: Indices, right: Doubles) -> Doubles:
        """Return the covariance of some masks among themselves times a matrix of few columns, [R, P]."""
        explained, drift = self.explained[:, some], self.drift[some]
        whole = self.prior[np.ix_(some, some)] @ right - explained.T @ (explained @ right)
        return np.asarray(self.scale * (whole + np.outer(drift, drift @ right)), np.float64)


class Process:
    """The process over the masks of one picture; its parameters are chosen again as scores come in."""

    def __init__(self, masks: Doubles) -> None:
        """Args: masks: [K, h, w]; those that are the same have one score."""
        flat = masks.reshape(len(masks), -1)
        blurred = {width: flat @ _blur(masks.shape[1:], width) for width in WIDTHS}
        self._features = {width: _unit(features) for width, features in blurred.items()}
        self._same = _groups(flat)
        self.prior: Doubles = np.eye(len(flat))

    def first(self, count: int, sizes: Doubles) -> Indices:
        """Return masks to begin with: those that stand for the others, large maps before small ones.

        Pivoted Cholesky of the smooth part: each is the one of which those before say least, times its map's size.
        """
        near = np.exp(_apart(self._features[0.0], self._features[0.0]) / -2)
        left, found, columns = np.ones(len(near)), list[int](), np.zeros((count, len(near)))
        for turn in range(count):
            best = int((left * sizes**2).argmax())
            found.append(best)
            column = near[best] - columns[:turn, best] @ columns[:turn]
            columns[turn] = column / np.sqrt(max(left[best], TINY))
            left = np.maximum(left - np.square(columns[turn]), 0)
            left[found] = -1
        return np.array(found, np.int64)

    def fit(self, drawn: Indices, values: Doubles) -> None:
        """Choose the parameters under which these values are most likely, whatever their scale and constant."""
        drawn, values = drawn[:FITTED], values[:FITTED]
        found = [
            (*_likeliest(common, values), Parameters(width, *rest, 0.0))
            for width in WIDTHS
            for rest, common in _candidates(self._features[width][drawn], self._features[width])
        ]
        _, own, chosen = min(found)
        self.parameters = chosen._replace(own=own)
        features = self._features[chosen.width]
        smooth = np.exp(_apart(features, features) / (-2 * chosen.length**2))
        common = _mixed(smooth, _straight(features, features), chosen.linear)
        self.prior = common + own * (self._same[:, None] == self._same)

    def posterior(self, drawn: Indices, values: Doubles) -> Posterior:
        """Return what values say of all masks; the constant is unknown, with no opinion beforehand."""
        count, rows = len(drawn), self.prior[drawn]
        root = np.linalg.cholesky(rows[:, drawn] + 1e-9 * np.eye(count))
        solved = np.linalg.solve(root, np.column_stack([rows, values, np.ones(count)]))
        explained, value, one = solved[:, :-2], solved[:, -2], solved[:, -1]
        constant = float(value @ one / (one @ one))
        left = value - constant * one
        scale = max(float(left @ left) / max(count - 1, 1), TINY)
        drift = (1 - one @ explained) / np.sqrt(one @ one)
        return Posterior(constant + explained.T @ left, self.prior, explained, drift, scale)


def _blur(size: tuple[int, ...], width: float) -> Doubles:
    """Return the matrix that averages the cells of a grid over neighbours, rows and columns, [h w, h w]."""
    if width == 0:
        return np.eye(int(np.prod(size)))
    found = np.ones((1, 1))
    for length in size:
        places = np.arange(length)
        bell = np.exp(-np.square(places[:, None] - places) / (2 * width**2))
        found = np.kron(found, bell / bell.sum(axis=0))
    return found


def _unit(features: Doubles) -> Doubles:
    """Return features in root median distances of two masks."""
    few = features[:: max(len(features) // FITTED, 1)]
    apart = _apart(few, few)
    median = float(np.median(apart[apart > TINY])) if (apart > TINY).any() else 1.0
    return np.asarray(features / np.sqrt(median), np.float64)


def _groups(flat: Doubles) -> Indices:
    """Return a number a mask, the same for masks that are the same."""
    return np.unique(flat, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _apart(rows: Doubles, columns: Doubles) -> Doubles:
    """Return squared distances."""
    squares = np.square(rows).sum(axis=1)[:, None] + np.square(columns).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * rows @ columns.T, 0), np.float64)


def _candidates(rows: Doubles, everyone: Doubles) -> Iterator[tuple[tuple[float, float], Doubles]]:
    """Yield length, linear share, and what masks have in common under them."""
    apart, straight = _apart(rows, rows), _straight(rows, everyone)
    for length in LENGTHS:
        smooth = np.exp(apart / (-2 * length**2))
        for linear in LINEAR:
            yield (length, linear), _mixed(smooth, straight, linear)


def _mixed(smooth: Doubles, straight: Doubles, linear: float) -> Doubles:
    return np.asarray((1 - linear) * smooth + linear * straight, np.float64)


def _straight(rows: Doubles, everyone: Doubles) -> Doubles:
    """Return the linear part, its mean variance 1 over all masks."""
    middle = everyone.mean(axis=0)
    size = max(float(np.square(everyone - middle).sum(axis=1).mean()), TINY)
    return np.asarray((rows - middle) @ (rows - middle).T / size, np.float64)


def _likeliest(common: Doubles, values: Doubles) -> tuple[float, float]:
    """Return the negative restricted log likelihood under the best own part, and that."""
    size, turned = np.linalg.eigh(common)
    value, one = turned.T @ values, turned.sum(axis=0)
    return min((_unlikely(np.maximum(size, 0) + own, value, one), own) for own in OWN)


def _unlikely(size: Doubles, value: Doubles, one: Doubles) -> float:
    ones = float((one * one / size).sum())
    left = value - (value * one / size).sum() / ones * one
    scale = max(float((left * left / size).mean()), TINY)
    return 0.5 * float((len(value) - 1) * np.log(scale) + np.log(size).sum() + np.log(ones))
