"""Every colour mode that Pillow reads, brought to 8-bit RGB, with a note wherever something had to be decided."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.errors import ImageError

_DEEP_GREY = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N", "I;12")
_16_BIT = 65535.0


def to_rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the picture in mode RGB and notes on what was decided.

    Raises: ImageError: the colour mode has no way to RGB, or a float picture is not finite.
    """
    if image.mode in _DEEP_GREY:
        return _deep_grey(image)
    if image.has_transparency_data:
        return _on_white(image)
    notes = ("CMYK turned to RGB without a colour profile",) if image.mode == "CMYK" else ()
    try:
        return image.convert("RGB"), notes
    except ValueError:
        raise ImageError(f"the colour mode {image.mode} cannot be read; convert the picture to RGB first") from None


def _on_white(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    layered = image.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    pixels = Image.alpha_composite(white, layered).convert("RGB")
    opaque = layered.getchannel("A").getextrema() == (255, 255)
    return pixels, () if opaque else ("transparent parts are shown on white",)


def _deep_grey(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ImageError("the picture has pixels that are not finite (NaN or infinity)")
    low, high, said = _depth(image.mode, values)
    scaled = np.rint((values - low) * (255.0 / (high - low))).clip(0, 255)
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB"), (said,)


def _depth(mode: str, values: NDArray[np.float64]) -> tuple[float, float, str]:
    """What becomes black and white: the format's full range where it has one, else that of the pixels."""
    low, high = float(values.min()), float(values.max())
    if mode.startswith("I;"):
        return 0.0, _16_BIT, "16-bit grey scaled to 8 bits (0-65535 to 0-255)"
    if mode == "F" and low >= 0 and high <= 1:
        return 0.0, 1.0, "float grey scaled to 8 bits (0-1 to 0-255)"
    if low >= 0 and high <= 255 and mode == "F":
        return 0.0, 255.0, "float grey rounded to 8 bits"
    if low >= 0 and high <= 255 and mode == "I":  # bytes kept in wide numbers: as 16 bits they would all be black
        return 0.0, 255.0, "grey taken as 8 bits: no pixel is above 255"
    if low >= 0 and high <= _16_BIT and mode == "I":
        return 0.0, _16_BIT, "16-bit grey scaled to 8 bits (0-65535 to 0-255)"
    high = high if high > low else low + 1.0
    return low, high, f"grey scaled to 8 bits from its own range ({low:g} to {high:g})"
