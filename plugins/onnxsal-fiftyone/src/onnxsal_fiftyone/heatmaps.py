"""From a map of what the model saw to one of the whole photograph, which is what FiftyOne stretches a heatmap over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal import Explanation
from onnxsal.errors import UnsupportedError

Floats = NDArray[np.float32]


def on_photo(explanation: Explanation) -> Floats:
    """Return the map over the whole photograph, float32 [h, w], at the resolution of what the model saw.

    Margins of a letterbox are cut off; where the model saw nothing of the photograph the map is 0. A value keeps its
    place and its size: [0, 1], or [-1, 1] of a map with a sign.

    Raises: UnsupportedError: what was explained is no photograph.
    """
    if explanation.photo is None or explanation.box is None:
        raise UnsupportedError("heatmaps are for photographs, and the model takes something else")
    saliency = np.ascontiguousarray(explanation.saliency, np.float32)
    left, top, width, height = explanation.box
    columns, rows = explanation.photo.shape[1], explanation.photo.shape[0]
    across, down = saliency.shape[1] / width, saliency.shape[0] / height
    size = (_cells(columns, across), _cells(rows, down))
    step = (columns / size[0] * across, rows / size[1] * down)
    place = (step[0], 0, -left * across, 0, step[1], -top * down)
    found = Image.fromarray(saliency).transform(
        size, Image.Transform.AFFINE, place, Image.Resampling.BILINEAR, fillcolor=0
    )
    return np.array(found, np.float32)


def _cells(pixels: int, scale: float) -> int:
    """Return how many cells stand for so many pixels: no more than there are."""
    return max(1, min(pixels, round(pixels * scale)))


def range_of(signed: bool) -> list[float]:
    """Return the least and the greatest value that such a map can have: FiftyOne takes a map's own where none is said,
    and two pictures' colours would not mean the same."""
    return [-1.0 if signed else 0.0, 1.0]


def as_bytes(heatmap: Floats) -> NDArray[np.uint8]:
    """Return a map from 0 to 1 as a grey picture holds it, rounded to the nearest."""
    return np.rint(heatmap * 255).astype(np.uint8)
