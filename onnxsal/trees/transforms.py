"""Post transforms of ai.onnx.ml, as ONNX Runtime computes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")
"""By their number in TreeEnsemble of ai.onnx.ml 5, as ONNX Runtime takes it; the standard has 1 and 2 the other way."""

_ZERO = 1e-7  # what SOFTMAX_ZERO takes for zero
_A = 0.147  # of Winitzki's approximation of the inverse error function, which PROBIT is computed with


def transformed(margins: Doubles, transform: str) -> Doubles:
    """Return margins [N, outputs] behind a transform of ``TRANSFORMS``."""
    if transform == "LOGISTIC":
        return np.asarray(1 / (1 + np.exp(-np.clip(margins, -700, 700))))
    if transform == "PROBIT":
        return _probit(margins)
    if transform.startswith("SOFTMAX"):
        powers = np.exp(margins - margins.max(axis=1, keepdims=True, initial=-np.inf))
        if transform == "SOFTMAX_ZERO":
            powers = np.where(np.abs(margins) > _ZERO, powers, 0)
        with np.errstate(invalid="ignore"):
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return margins


def _probit(margins: Doubles) -> Doubles:
    with np.errstate(invalid="ignore", divide="ignore"):
        x = 2 * margins - 1
        log = np.log((1 - x) * (1 + x))
        half = 2 / (np.pi * _A) + log / 2
        return np.asarray(np.sqrt(2) * np.sign(x) * np.sqrt(np.sqrt(half**2 - log / _A) - half))
