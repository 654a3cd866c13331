"""What the experiments measure of maps beside the metrics: variation, correlation, shares of objects."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.metrics.registry import get


def total_variation(saliency: NDArray[Any]) -> float:
    """Return the mean difference between neighbouring pixels over the mean of the map; NaN for a map of zeros.

    Units: 0 for a constant map; scaling the map does not change it.
    """
    values = np.abs(np.asarray(saliency, np.float64))
    if not values.any():
        return float("nan")
    steps = np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean()
    return float(steps / (2 * values.mean()))


def sparseness(saliency: NDArray[Any]) -> float:
    """Return the Gini index of a map, 0 for an even one and nearly 1 where one pixel has it all."""
    return float(get("sparseness")(saliency=np.abs(saliency)))


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return Pearson's correlation of two maps; NaN where one of them is constant."""
    x, y = (np.asarray(each, np.float64).reshape(-1) for each in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else float("nan")


def correlations(maps: NDArray[Any]) -> NDArray[np.float64]:
    """Return the correlation of each of several maps [n, H, W] of one picture with each other one, [n, n]."""
    found = np.ones((len(maps), len(maps)))
    for a, b in combinations(range(len(maps)), 2):
        found[a, b] = found[b, a] = correlation(maps[a], maps[b])
    return found


def share_inside(saliency: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    """Return the share of a map's absolute mass inside a mask; NaN for a map of zeros."""
    return float(get("energy-pointing")(saliency=saliency, mask=mask))


def hit(saliency: NDArray[Any], mask: NDArray[np.bool_], threshold: float) -> bool:
    """Return whether a map reaches the threshold, a share of its own maximum, somewhere inside a mask."""
    top = float(saliency.max())
    return top > 0 and bool(mask.any()) and float(saliency[mask].max()) >= threshold * top
