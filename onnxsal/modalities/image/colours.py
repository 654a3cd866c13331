"""Every colour mode that Pillow reads, brought to RGB, with a note wherever something had to be decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.errors import ImageError
from onnxsal.modalities.finite import check_finite

_DEEP_GREY = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N", "I;12")
_16_BIT = 65535.0
_WORDS = "16-bit grey: 65535 is taken as white"


Levels = NDArray[np.float64]
"""Levels of a picture that is finer than bytes, 0 to 255: [H, W, 1] of grey, or [H, W, 3] of RGB."""


@dataclass(frozen=True, eq=False)
class InRgb:
    """A picture in mode RGB, what was decided to get there, and its levels where they are finer than its bytes."""

    image: Image.Image
    notes: tuple[str, ...] = ()
    levels: Levels | None = None


def to_rgb(image: Image.Image) -> InRgb:
    """Return the picture in mode RGB.

    Raises: ImageError: the colour mode has no way to RGB, or a float picture is not finite.
    """
    if image.mode in _DEEP_GREY:
        return _deep_grey(image)
    if image.has_transparency_data:
        return _on_white(image)
    notes = ("CMYK turned to RGB without a colour profile",) if image.mode == "CMYK" else ()
    try:
        return InRgb(image.convert("RGB"), notes)
    except ValueError:
        raise ImageError(f"the colour mode {image.mode} cannot be read; convert the picture to RGB first") from None


def of_words(array: NDArray[Any]) -> InRgb:
    """Return a picture of 16 bits, grey [H, W] or [H, W, 1], or RGB [H, W, 3]."""
    levels = (array if array.ndim == 3 else array[:, :, None]).astype(np.float64) * (255.0 / _16_BIT)
    return InRgb(_in_bytes(levels), (), levels)


def _in_bytes(levels: Levels) -> Image.Image:
    shown = np.rint(levels).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown)


def _on_white(image: Image.Image) -> InRgb:
    layered = image.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    pixels = Image.alpha_composite(white, layered).convert("RGB")
    opaque = layered.getchannel("A").getextrema() == (255, 255)
    return InRgb(pixels, () if opaque else ("transparent parts are shown on white",))


def _deep_grey(image: Image.Image) -> InRgb:
    values = np.asarray(image, dtype=np.float64)
    check_finite(values, "the picture", error=ImageError, things="pixels", batch=False)
    low, high, said = _depth(image.mode, values)
    levels = ((values - low) * (255.0 / (high - low)))[:, :, None]
    return InRgb(_in_bytes(levels), said, levels)


def _depth(mode: str, values: NDArray[np.float64]) -> tuple[float, float, tuple[str, ...]]:
    """What becomes black and white: the format's full range where it has one, else that of the pixels; and notes."""
    low, high = float(values.min()), float(values.max())
    if mode.startswith("I;"):
        return 0.0, _16_BIT, (_WORDS,)
    if mode == "F" and low >= 0 and high <= 1:
        return 0.0, 1.0, ("float grey of 0 to 1: 1 is taken as white",)
    if low >= 0 and high <= 255 and mode == "F":
        return 0.0, 255.0, ("float grey of 0 to 255: 255 is taken as white",)
    if low >= 0 and high <= 255 and mode == "I":  # bytes kept in wide numbers: as 16 bits they would all be black
        return 0.0, 255.0, ("grey taken as 8 bits: no pixel is above 255",)
    if low >= 0 and high <= _16_BIT and mode == "I":
        return 0.0, _16_BIT, (_WORDS,)
    high = high if high > low else low + 1.0
    return low, high, (f"grey scaled from its own range ({low:g} to {high:g})",)
