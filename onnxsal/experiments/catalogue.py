"""The experiments by name, each imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from onnxsal.errors import UsageError, nearest

if TYPE_CHECKING:
    from onnxsal.experiments.base import Experiment

NAMES: dict[str, str] = {
    "noise-grid": "SmoothGrad's map for every noise level and number of samples",
    "fluctuation": "the gradient at one pixel while the picture hardly changes",
    "combine": "SmoothGrad round the gradient, integrated gradients and guided backprop",
    "discrimination": "whether the map for one of two objects lies on that object",
    "occurrences": "how many of two to four objects of a class a map finds",
    "score-variants": "SS-CAM (1), SS-CAM (2) and Score-CAM, with deletion and insertion",
    "training-noise": "noise in training against noise in inference",
    "feature-maps": "single feature maps of a layer and single neurons",
}


def get(name: str) -> Experiment:
    """Return an experiment by name. Raises: UsageError: there is none of that name."""
    if name not in NAMES:
        raise UsageError(f"there is no experiment {name!r}{nearest(name, NAMES)} (there are: {', '.join(NAMES)})")
    module = name.replace("-", "_")
    found: Experiment = getattr(importlib.import_module(f"onnxsal.experiments.{module}"), module)
    return found
