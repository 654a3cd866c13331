"""The map on the whole photograph, alone, and multiplied with the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.errors import UsageError
from onnxsal.viz.blend import OPACITY, Side, dimmed, mix, side, spread
from onnxsal.viz.colour import Pixels, colourise

Box = tuple[float, float, float, float]

_UNSEEN = 0.45  # brightness of what the model did not see
_LINE = 0.4  # whiteness of the line round what it saw: in the dark, dimming alone does not show
_BLOCKS_UP_TO = 96


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
    left, top, width, height = box or (0, 0, photo.shape[1], photo.shape[0])
    values = np.asarray(saliency, np.float32)
    rows, columns = (
        side(*each) for each in zip(photo.shape[:2], (top, left), (height, width), values.shape, strict=True)
    )
    drawn = np.empty_like(photo)
    seen = slice(rows.first, rows.end), slice(columns.first, columns.end)
    drawn[seen] = mix(photo[seen], spread(values, rows, columns), opacity, colours=colours, signed=signed)
    for part in _unseen(rows, columns):
        drawn[part] = dimmed(photo[part], _UNSEEN)
    _draw_line(drawn, rows, columns)
    return drawn


def _unseen(rows: Side, columns: Side) -> tuple[tuple[slice, slice], ...]:
    """Return the parts of a photograph above, below, left and right of what was seen."""
    inside, everything = slice(rows.first, rows.end), slice(None)
    return (
        (slice(rows.first), everything), (slice(rows.end, None), everything),
        (inside, slice(columns.first)), (inside, slice(columns.end, None)),
    )  # fmt: skip


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


def _draw_line(drawn: Pixels, rows: Side, columns: Side) -> None:
    """Lighten the outermost pixels of what was seen where something unseen lies beside them, each once."""
    ys, xs = _ends(rows, drawn.shape[0]), _ends(columns, drawn.shape[1])
    _lighten(drawn, ys, slice(columns.first, columns.end))
    _lighten(drawn, slice(rows.first + (rows.first in ys), rows.end - (rows.end - 1 in ys)), xs)


def _ends(side: Side, pixels: int) -> list[int]:
    """Return the first and the last pixel of what was seen, unless it is that of the photograph."""
    ends = {side.first} if side.first > 0 else set()
    return sorted(ends | ({side.end - 1} if side.first < side.end < pixels else set()))


def _lighten(drawn: Pixels, rows: Any, columns: Any) -> None:
    line = drawn[rows, columns].astype(np.float32)
    drawn[rows, columns] = np.rint(line + (255 - line) * _LINE)
