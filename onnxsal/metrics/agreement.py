"""Agreement of two maps: plain functions that compare what two models, or two methods, look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError, nearest
from onnxsal.kernels.blur import gaussian_blur
from onnxsal.metrics.judgement import Doubles

Maps = NDArray[Any]

_WINDOW, _SIGMA = 11, 1.5


def cosine(a: Maps, b: Maps) -> float:
    """Return the cosine of the angle between two maps, [-1, 1]; NaN where one is 0 everywhere."""
    first, second = _pair(a, b)
    return _ratio(first.ravel() @ second.ravel(), np.linalg.norm(first) * np.linalg.norm(second))


def pearson(a: Maps, b: Maps) -> float:
    """Return the linear correlation of two maps, [-1, 1]; NaN where one is flat."""
    first, second = (each - each.mean() for each in _pair(a, b))
    if not np.ptp(np.asarray(a)) or not np.ptp(np.asarray(b)):  # the mean of a flat map rounds
        return float("nan")
    return _ratio((first * second).sum(), np.linalg.norm(first) * np.linalg.norm(second))


def spearman(a: Maps, b: Maps) -> float:
    """Return the rank correlation of two maps, [-1, 1], equal pixels sharing their mean rank; NaN where one is flat."""
    first, second = _pair(a, b)
    return pearson(mean_ranks(first), mean_ranks(second))


def ssim(a: Maps, b: Maps, *, span: float = 1.0) -> float:
    """Return the structural similarity of two maps [H, W], [-1, 1], the mean over every full window.

    Args: span: between the smallest and the largest value possible; 2 for signed maps.
    Raises: UsageError: the shapes differ, or a side is below 11.
    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", section III:
    a Gaussian window of 11 with sigma 1.5, K1 = 0.01, K2 = 0.03.
    """
    first, second = _pair(a, b)
    if first.ndim != 2 or min(first.shape) < _WINDOW:
        raise UsageError(f"ssim: maps must be [H, W] with sides of {_WINDOW} at least, got {list(first.shape)}")
    return float(_structure(first / span, second / span).mean())


def _structure(a: Doubles, b: Doubles) -> Doubles:
    mean_a, mean_b, square_a, square_b, product = _smooth(np.stack([a, b, a * a, b * b, a * b]))
    bright = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    spread = square_a - mean_a**2 + square_b - mean_b**2
    return np.asarray(bright * (2 * (product - mean_a * mean_b) + 9e-4) / (spread + 9e-4))


def _smooth(maps: Doubles) -> Doubles:
    edge = _WINDOW // 2
    return gaussian_blur(maps, kernel=_WINDOW, sigma=_SIGMA)[..., edge:-edge, edge:-edge].astype(np.float64)


def mean_ranks(values: Maps) -> Doubles:
    """Return each element's place in ascending order from 0, float64, in the same shape; equal ones share."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[group].reshape(np.shape(values)))


AGREEMENTS: Mapping[str, Callable[[Maps, Maps], float]] = {
    "cosine": cosine, "pearson": pearson, "spearman": spearman, "ssim": ssim,
}  # fmt: skip


def similarity(a: Maps, b: Maps, *, by: str = "spearman", span: float = 1.0) -> float:
    """Return the agreement of two maps by name.

    Args: span: that of ``ssim``; the others do not depend on it.
    Raises: UsageError: no such name, or the shapes differ.
    """
    if by not in AGREEMENTS:
        raise UsageError(f"there is no agreement {by!r}{nearest(by, AGREEMENTS)}; one of {', '.join(AGREEMENTS)}")
    return ssim(a, b, span=span) if by == "ssim" else AGREEMENTS[by](a, b)


def _pair(a: Maps, b: Maps) -> tuple[Doubles, Doubles]:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or not first.size:
        raise UsageError(f"maps that are compared have one shape, got {list(first.shape)} and {list(second.shape)}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UsageError("maps that are compared must be finite; one holds NaN or infinity")
    return first, second


def _ratio(above: Any, below: Any) -> float:
    return float(above / below) if below > 0 else float("nan")
