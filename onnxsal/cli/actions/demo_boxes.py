"""What ``onnxsal demo --boxes`` does: two objects of one class, each explained, and how much of a map lies on which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxsal.cli.actions.demo import bundled
from onnxsal.cli.text import bar, percent, table, wrapped
from onnxsal.explanation import Explanation
from onnxsal.explanation.explain import explain
from onnxsal.metrics.pointing import energy_pointing
from onnxsal.modalities.image import read_image
from onnxsal.modalities.image.fit import seen_through
from onnxsal.model.load import load

METHODS = ("gradient", "layercam", "occlusion")
SCENE = "demo_boxes.png"
ASKED = ("#1", "#2")


@dataclass(frozen=True)
class Shown:
    """An explanation of one detection, and the shares of its map on that object and on the other one of its class."""

    explanation: Explanation
    target: str
    on_it: float
    on_other: float


def demonstrate_boxes() -> list[Shown]:
    """Return two detections of one class explained by three methods."""
    model, scene = load(bundled("detector.onnx")), bundled(SCENE)
    found: list[Shown] = []
    for method in METHODS:
        for target, explanation in zip(ASKED, explain(model, scene, target=list(ASKED), method=method), strict=True):
            on_it, on_other = _shares(explanation, target)
            found.append(Shown(explanation, target, on_it, on_other))
    return found


def _shares(explanation: Explanation, target: str) -> tuple[float, float]:
    own = ASKED.index(target)
    shares = [energy_pointing(explanation.saliency, mask).value for mask in _masks(explanation)]
    return shares[own], shares[1 - own]


def _masks(explanation: Explanation) -> list[NDArray[np.bool_]]:
    """Return the masks of the two objects as the model saw the scene, [H, W]: their numbers are those of detections."""
    height, width = explanation.saliency.shape
    numbers = np.asarray(read_image(bundled("demo_boxes_mask.png")).pixels.convert("L"))
    box, of_each = explanation.canvas().box, range(1, len(ASKED) + 1)
    masks = [read_image(np.where(numbers == k, 255, 0).astype(np.uint8)).pixels.convert("L") for k in of_each]
    return [np.asarray(seen_through(mask, box, (width, height))) > 127 for mask in masks]


def boxes_as_text(path: str, shown: list[Shown]) -> list[str]:
    """Return the path of the picture, and how much of each map lies on the object that was asked for."""
    said = (
        f"The detector sees two objects of a class, {' and '.join(_named(each) for each in shown[: len(ASKED)])}. This "
        "much of each map lies on the one that is explained, and on the other:"
    )
    rows = [
        (f"  {each.explanation.method} of {each.target}", bar(each.on_it, 20), percent(each.on_it),
         f"{percent(each.on_other)} on the other")
        for each in shown
    ]  # fmt: skip
    end = "Next, a detector and a photograph of yours: onnxsal predict detector.onnx photo.jpg"
    return [path, "", *wrapped(said, 0), *table(rows, right=frozenset({2, 3})), "", *wrapped(end, 0)]


def _named(each: Shown) -> str:
    return f"{each.target} {each.explanation.label} ({percent(each.explanation.score)})"
