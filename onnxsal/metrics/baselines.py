"""The pictures that pixels are exchanged for, and pictures seen through a map."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from onnxsal.kernels.blur import gaussian_blur
from onnxsal.metrics.judgement import Doubles, Floats

Baseline: TypeAlias = Literal["black", "zero", "blur", "mean"]


def make_baseline(kind: Baseline, x: Floats, black: Floats | None) -> Floats:
    """Return the picture that pixels are exchanged for, float32 [C, H, W].

    Args:
        kind: ``black`` of the model (zero where it is not given), ``zero`` of its preprocessed domain, ``blur`` of the
            picture (kernel 11, sigma 5), ``mean`` of each channel.
    """
    if kind == "blur":
        return gaussian_blur(x, kernel=11, sigma=5.0)
    if kind == "mean":
        return np.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape)
    return np.zeros_like(x) if kind == "zero" or black is None else np.broadcast_to(black, x.shape)


def seen_through(weights: Doubles, x: Floats, base: Floats) -> Floats:
    """Return base + (x - base) o weights, the picture where a map [H, W] is 1 and the baseline where it is 0."""
    return base + (x - base) * weights.astype(np.float32)


def stretched(saliency: Doubles) -> Doubles:
    """Return a map that is not flat stretched to [0, 1]."""
    low, high = saliency.min(), saliency.max()
    return np.asarray((saliency - low) / (high - low))
