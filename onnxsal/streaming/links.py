"""Between scores and the line that a Gaussian process lives on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsal.records import Foreseen

Doubles = NDArray[np.float64]

EDGE = 1e-3
"""What is added to a share and to the rest of it before the logarithm: scores below tell nothing of each other."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Weights(NamedTuple):
    """What maps count where scores are known up to a normal law: mean, variance, and slope in the latent value."""

    mean: Doubles
    variance: Doubles
    slope: Doubles


def latent(kind: Foreseen, scores: Doubles) -> Doubles:
    """Return scores on the line: log odds of their place between their ends, or themselves where they have none."""
    if kind.ends is None:
        return scores
    low, high = kind.ends
    share = np.clip((scores - low) / (high - low), 0, 1)
    return np.asarray(np.log((share + EDGE) / (1 - share + EDGE)), np.float64)


def scored(kind: Foreseen, values: Doubles) -> Doubles:
    """Return the scores of latent values."""
    if kind.ends is None:
        return values
    low, high = kind.ends
    share = (1 + 2 * EDGE) / (1 + np.exp(-values)) - EDGE
    return np.asarray(low + (high - low) * share, np.float64)


def weighed(kind: Foreseen, scores: Doubles, peak: float) -> Doubles:
    """Return what maps count with these scores; where they pass a softmax, over the one that counts ``peak``."""
    return np.exp(scores - peak) if kind.softmax else scores


def weights(kind: Foreseen, mean: Doubles, variance: Doubles, peak: float) -> Weights:
    """Return what maps count whose latent values have these means and variances, [K] (Gauss-Hermite quadrature)."""
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    found = weighed(kind, scored(kind, mean[:, None] + deviation[:, None] * _NODES), peak)
    middle = found @ _WEIGHTS
    slope = (found * _NODES) @ _WEIGHTS / deviation  # of a normal law, the mean slope (Stein 1981)
    return Weights(middle, np.square(found - middle[:, None]) @ _WEIGHTS, slope)
