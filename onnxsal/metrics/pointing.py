"""Pointing: how much of a map lies on the object."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.metrics.registry import metric


@metric(
    "energy-pointing",
    paper="Wang et al. 2020, arXiv:1910.01279, section 4.3 (energy-based pointing game)",
    when="maps that lie on the object, whatever its size; compare with the object's share of the picture",
)
def energy_pointing(saliency: NDArray[Any], mask: NDArray[Any]) -> float:
    """Return the share of a map's energy inside a mask, [0, 1]; NaN for a map without any.

    Args: saliency: [H, W]; of a signed map the absolute value counts. mask: [H, W], true (or above 0) on the object.
    Raises: UsageError: the shapes differ.
    """
    if saliency.shape != mask.shape:
        raise UsageError(f"the map is {saliency.shape} and the mask {mask.shape}; both are [H, W] of the model's input")
    energy = np.abs(saliency, dtype=np.float64)
    total = energy.sum()
    return float(energy[mask > 0].sum() / total) if total > 0 else float("nan")
