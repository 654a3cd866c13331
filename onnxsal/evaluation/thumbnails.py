"""Pictures and maps small enough for a journal, and back."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

IMAGE_SIDE, MAP_SIDE = 224, 112
_LEVELS = 127
"""Steps on either side of 0, so that signed maps keep their sign."""


def image_jpeg(pixels: Pixels) -> dict[str, str]:
    """Return a picture, at most ``IMAGE_SIDE`` a side, as a journal's entry."""
    image = _smaller(Image.fromarray(pixels), IMAGE_SIDE)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=82)
    return {"jpeg": base64.b64encode(buffer.getvalue()).decode("ascii")}


def map_png(saliency: NDArray[Any]) -> dict[str, Any]:
    """Return a map, at most ``MAP_SIDE`` a side, as a journal's entry of 255 levels."""
    scale = float(np.abs(saliency).max()) or 1.0
    image = _smaller(Image.fromarray(np.asarray(saliency / scale, np.float32)), MAP_SIDE)
    levels = np.rint(np.asarray(image) * _LEVELS + _LEVELS).clip(0, 2 * _LEVELS).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="PNG", compress_level=4)  # a sixth of the time for 6 % of the bytes
    return {"png": base64.b64encode(buffer.getvalue()).decode("ascii")}


def _smaller(image: Image.Image, side: int) -> Image.Image:
    if max(image.size) <= side:
        return image
    factor = side / max(image.size)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.BOX if image.mode == "F" else Image.Resampling.LANCZOS)


def read_image_entry(entry: Mapping[str, Any]) -> Pixels:
    """Return the picture of an entry, uint8 [h, w, 3]."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(entry["jpeg"]))).convert("RGB"))


def read_map(entry: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return the map of an entry, float32 [h, w], its largest magnitude 1."""
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(entry["png"]))), np.float32)
    return np.asarray((levels - _LEVELS) / _LEVELS, np.float32)
