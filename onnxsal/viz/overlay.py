"""The map on the whole photograph, alone, and multiplied with the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.errors import UsageError
from onnxsal.viz.colour import Pixels, colourise

Box = tuple[float, float, float, float]
Floats = NDArray[np.float32]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
FADED = 0.45  # share of colour taken away where the map is low, so that the map's own colours stand out
DARKER = 0.88
_UNSEEN = 0.45  # brightness of what the model did not see
_LINE = 0.4  # whiteness of the line round what it saw: in the dark, dimming alone does not show
LIFTED = 0.8  # lets the middle of the map show: thin lines of a gradient are seldom at its top
_BLOCKS_UP_TO = 96
OPACITY = 0.65


def overlay(
    photo: Pixels,
    saliency: NDArray[Any],
    box: Box | None = None,
    *,
    colours: str | None = None,
    opacity: float = OPACITY,
    signed: bool = False,
) -> Pixels:
    """Return the photograph with the map drawn where the model looked, uint8 [h, w, 3].

    Opacity follows the map, so that the object stays visible; where the map is low the photograph fades, and what the
    model did not see is dark, behind a thin line.

    Args:
        photo: uint8 [h, w, 3], upright, at a size for looking at (``for_display``).
        saliency: [H, W] in [0, 1], or signed in [-1, 1].
        box: left, top, width, height of the model's picture in pixels of the photograph; by default all of it.
        opacity: of the strongest place, 0 to 1.
        signed: see ``colourise``.
    """
    _check(photo, saliency, opacity)
    spread, seen = _spread(np.asarray(saliency, np.float32), box or (0, 0, photo.shape[1], photo.shape[0]), photo.shape)
    strength = np.abs(spread)[..., None]
    exact = photo.astype(np.float32)
    shown = _faded(exact, strength)
    mixed = shown + (colourise(spread, colours, signed=signed) - shown) * (opacity * strength**LIFTED)
    mixed = np.where(seen[..., None], mixed, _greyed(exact, _UNSEEN))
    mixed = mixed + (255 - mixed) * (_LINE * _border(seen)[..., None])
    drawn: Pixels = np.rint(mixed).clip(0, 255).astype(np.uint8)
    return drawn


def heat_map(saliency: NDArray[Any], *, colours: str | None = None, signed: bool = False) -> Pixels:
    """Return the map alone, in colour, uint8 [H, W, 3]; signed: see ``colourise``."""
    return colourise(saliency, colours, signed=signed)


def product(image: Pixels, saliency: NDArray[Any]) -> Pixels:
    """Return the picture that the model saw times the strength of the map, uint8 [H, W, 3]: black where it is 0."""
    strength = np.abs(np.asarray(saliency, np.float32))[..., None].clip(0, 1)
    if image.shape[:2] != strength.shape[:2]:
        raise UsageError(f"picture {list(image.shape)} and map {list(strength.shape[:2])} differ in size")
    shown: Pixels = np.rint(image * strength).astype(np.uint8)
    return shown


def for_display(photo: Pixels, box: Box | None = None, *, least: int = 480, most: int = 1600) -> tuple[Pixels, Box]:
    """Return the photograph and box at a size for looking at: its long side ``least`` to ``most`` pixels.

    Very small pictures are enlarged in blocks, so that their own pixels stay visible.
    """
    height, width = photo.shape[:2]
    factor = _factor(max(height, width), least, most)
    left, top, across, down = box or (0.0, 0.0, float(width), float(height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    how = Image.Resampling.NEAREST if max(height, width) <= _BLOCKS_UP_TO else Image.Resampling.LANCZOS
    image = Image.fromarray(photo)
    pixels = photo if size == image.size else np.array(image.resize(size, how))
    wide, high = size[0] / width, size[1] / height
    return pixels, (left * wide, top * high, across * wide, down * high)


def _factor(side: int, least: int, most: int) -> float:
    if side <= _BLOCKS_UP_TO:
        return -(-least // side)
    return max(least, min(side, most)) / side


def _check(photo: Pixels, saliency: NDArray[Any], opacity: float) -> None:
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise UsageError(f"a photograph is uint8 [h, w, 3]; got {photo.dtype} {list(photo.shape)}")
    if np.ndim(saliency) != 2:
        raise UsageError(f"a saliency map is [H, W]; got {list(np.shape(saliency))}")
    if not 0 <= opacity <= 1:
        raise UsageError(f"opacity is from 0 to 1; got {opacity}")


def _spread(saliency: Floats, box: Box, shape: tuple[int, ...]) -> tuple[Floats, NDArray[np.bool_]]:
    """The map on the photograph's own pixels, bilinear, 0 outside the box; and which pixels lie in the box."""
    rows, in_rows = _taps(shape[0], box[1], box[3], saliency.shape[0])
    columns, in_columns = _taps(shape[1], box[0], box[2], saliency.shape[1])
    seen = in_rows[:, None] & in_columns[None, :]
    spread = (rows @ saliency @ columns.T).astype(np.float32)
    return np.where(seen, spread, np.float32(0)), seen


def _taps(pixels: int, start: float, length: float, samples: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Weights [pixels, samples] of a linear interpolation between half-pixel centres, and which pixels are inside."""
    place = (np.arange(pixels) + 0.5 - start) / length
    centre = (place * samples - 0.5).clip(0, samples - 1)
    low = np.floor(centre).astype(np.intp)
    weights = np.zeros((pixels, samples), np.float32)
    every = np.arange(pixels)
    weights[every, low] = 1 - (centre - low)
    weights[every, np.minimum(low + 1, samples - 1)] += centre - low
    return weights, (place >= 0) & (place <= 1)


def _border(seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The seen pixels that have an unseen neighbour."""
    near = np.pad(seen, 1, mode="edge")
    inner: NDArray[np.bool_] = near[:-2, 1:-1] & near[2:, 1:-1] & near[1:-1, :-2] & near[1:-1, 2:]
    return seen & ~inner


def _faded(photo: Floats, strength: Floats) -> Floats:
    faint = _greyed(photo, DARKER)
    return faint + (photo - faint) * strength


def _greyed(photo: Floats, brightness: float) -> Floats:
    grey = (photo @ LUMA)[..., None]
    faint: Floats = ((photo + (grey - photo) * FADED) * brightness).astype(np.float32)
    return faint
