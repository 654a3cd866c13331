"""What ``onnxsal demo`` does: the bundled scene explained by six methods, and held against the object's mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxsal.cli.text import bar, percent, table, wrapped
from onnxsal.errors import EnvironmentSetupError
from onnxsal.explanation import Explanation
from onnxsal.explanation.explain import explain
from onnxsal.metrics.pointing import energy_pointing
from onnxsal.modalities.image import read_image
from onnxsal.modalities.image.fit import seen_through
from onnxsal.model.load import load

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
    package = Path(__file__).resolve().parents[2]
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


def as_text(path: str, shown: Demonstration) -> list[str]:
    """Return the path of the picture, and how much of each map lies on the object."""
    first = shown.explanations[0]
    said = (
        f"The model sees a {first.label} ({percent(first.score)}). It covers {percent(shown.object_share)} of the "
        "picture, and this much of each map lies on it:"
    )
    rows = [
        (f"  {each.method}", bar(share, 20), percent(share), f"{share / shown.object_share:.1f} times its area")
        for each, share in zip(shown.explanations, shown.on_object, strict=True)
    ]
    end = "Next, a model and a photograph of yours: onnxsal predict model.onnx photo.jpg"
    return [path, "", *wrapped(said, 0), *table(rows, right=frozenset({2, 3})), "", *wrapped(end, 0)]


def _mask(explanation: Explanation) -> NDArray[np.bool_]:
    """Return the object's mask as the model saw the scene, [H, W]."""
    height, width = explanation.saliency.shape
    mask = read_image(bundled("demo_mask.png")).pixels.convert("L")
    return np.asarray(seen_through(mask, explanation.canvas().box, (width, height))) > 127
