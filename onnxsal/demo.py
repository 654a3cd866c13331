"""The demonstration: the bundled classifier's scene, explained by six methods and held against the object's mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.errors import EnvironmentSetupError
from onnxsal.explain import explain
from onnxsal.explanation import Explanation
from onnxsal.loading import load
from onnxsal.metrics.pointing import energy_pointing

METHODS = ("gradient", "smoothgrad", "integrated-gradients", "grad-cam++", "smooth-grad-cam++", "score-cam")


@dataclass(frozen=True)
class Demonstration:
    """Explanations of one scene, the share of each map on the object, and the object's share of the picture."""

    explanations: tuple[Explanation, ...]
    on_object: tuple[float, ...]
    object_share: float


def bundled(name: str) -> Path:
    """Return the path of a bundled file: inside the installed package, or in a checkout's ``models``.

    Raises: EnvironmentSetupError: it is in neither.
    """
    package = Path(__file__).resolve().parent
    for path in (package / "_bundled" / name, package.parent / "models" / name):
        if path.is_file():
            return path
    raise EnvironmentSetupError(f"the bundled file {name!r} is missing; install onnxsal again")


def demonstrate() -> Demonstration:
    """Return the bundled scene explained by six methods."""
    model, scene = load(bundled("shapes.onnx")), bundled("demo.png")
    explanations = tuple(explain(model, scene, method=name) for name in METHODS)
    mask = _mask(explanations[0])
    shares = tuple(energy_pointing(each.saliency, mask).value for each in explanations)
    return Demonstration(explanations, shares, float(mask.mean()))


def _mask(explanation: Explanation) -> NDArray[np.bool_]:
    """Return the object's mask as the model saw the scene, [H, W]."""
    left, top, across, down = explanation.box
    height, width = explanation.saliency.shape
    with Image.open(bundled("demo_mask.png")) as image:
        seen = image.convert("L").resize((width, height), Image.Resampling.BOX, (left, top, left + across, top + down))
    return np.asarray(seen) > 127
