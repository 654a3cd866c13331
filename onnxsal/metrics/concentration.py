"""Concentration: whether a map is on few pixels; what it explains plays no part."""

from __future__ import annotations

from math import inf

import numpy as np

from onnxsal.metrics.judgement import Doubles
from onnxsal.metrics.registry import metric


@metric(
    "sparseness",
    paper="Chalasani et al. 2020, arXiv:1810.06583 (Gini index)",
    when="maps on few pixels, right or wrong",
    ends=(0, 1),
)
def sparseness(saliency: Doubles) -> float:
    """Return the Gini index of the map's absolute values, 0 (all equal) to 1 - 1/HW (one pixel); NaN for a map of 0."""
    energy = np.sort(np.abs(saliency), axis=None)
    total = energy.sum()
    if not total > 0:
        return float("nan")
    places = np.arange(1, energy.size + 1)
    return float((2 * places - energy.size - 1) @ energy / (energy.size * total))


@metric(
    "complexity",
    paper="Bhatt et al. 2020, arXiv:2005.00631 (complexity: entropy)",
    when="maps that are quick to read: few pixels share the energy",
    higher_is_better=False,
    ends=(0, inf),
)
def complexity(saliency: Doubles) -> float:
    """Return the entropy in nats of the pixels' shares of the absolute map, 0 to log HW; NaN for a map of 0."""
    energy = np.abs(saliency)
    total = energy.sum()
    if not total > 0:
        return float("nan")
    shares = energy[energy > 0] / total
    return float(-(shares @ np.log(shares)))
