"""Volumes as pictures: three slices side by side, one across each axis, and a map laid out alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from onnxsal.viz.caption import PALE, PAPER
from onnxsal.viz.colour import Pixels
from onnxsal.viz.text import fit_line

_WIDTH, _TALLEST, _GAP, _LETTERS = 1200, 560, 12, 17

Place = tuple[int, int, int]


@dataclass(frozen=True)
class Slices:
    """The picture, uint8 [h, w, 3], and the map at the same places, float32 [h, w]; 0 between the slices."""

    image: Pixels
    saliency: NDArray[np.float32]


def peak(saliency: NDArray[np.floating]) -> Place:
    """Return where a map [D, H, W] is strongest, whichever its sign; in the middle where it is the same everywhere.

    Of the many that reach the map's cap it is that with the strongest neighbours.
    """
    strength = np.abs(saliency)
    if strength.max() == strength.min():
        depth, rows, columns = (n // 2 for n in saliency.shape)
        return depth, rows, columns
    highest = np.argwhere(strength == strength.max())
    around = [strength[tuple(slice(max(at - 1, 0), at + 2) for at in each)].sum() for each in highest]
    depth, rows, columns = (int(i) for i in highest[int(np.argmax(around))])
    return depth, rows, columns


def slices(
    values: NDArray[np.floating],
    saliency: NDArray[np.floating],
    place: Place,
    *,
    spacing: Sequence[float],
    names: Sequence[str],
) -> Slices:
    """Return the slices of a volume through a place, as large as its voxels are, and those of its map.

    Args: values: [D, H, W] or [D, H, W, 3] in [0, 1]. spacing: of voxels along D, H and W. names: of the slices across
    each of the three, which stand below them.
    """
    cuts = [values[place[0]], values[:, place[1]], values[:, :, place[2]]]
    maps = [saliency[place[0]], saliency[:, place[1]], saliency[:, :, place[2]]]
    sides = [(1, 2), (0, 2), (0, 1)]
    sizes = [tuple(values.shape[a] * float(spacing[a]) for a in side) for side in sides]
    factor = min((_WIDTH - 2 * _GAP) / sum(width for _, width in sizes), _TALLEST / max(height for height, _ in sizes))
    pixels = [(max(1, round(height * factor)), max(1, round(width * factor))) for height, width in sizes]
    tall, bar = max(height for height, _ in pixels), round(_LETTERS * 1.6)
    whole = np.empty((tall + bar, sum(width for _, width in pixels) + 2 * _GAP, 3), np.uint8)
    whole[:], left, found = PAPER, 0, np.zeros(whole.shape[:2], np.float32)
    for cut, own, (height, width) in zip(cuts, maps, pixels, strict=True):
        at = slice((tall - height) // 2, (tall - height) // 2 + height), slice(left, left + width)
        whole[at] = _grey(_enlarged(cut, (height, width)))
        found[at] = _enlarged(own, (height, width))
        left += width + _GAP
    return Slices(_named(whole, pixels, names), found)


def _enlarged(plane: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.floating]:
    """Return a plane of another size, each pixel the voxel that it lies on: what is one voxel is to be seen as one."""
    rows, columns = (np.arange(n) * own // n for n, own in zip(size, plane.shape, strict=False))
    found: NDArray[np.floating] = plane[rows[:, None], columns[None]]
    return found


def _grey(plane: NDArray[np.floating]) -> Pixels:
    pixels = np.rint(plane * 255).astype(np.uint8)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _named(whole: Pixels, pixels: Sequence[tuple[int, int]], names: Sequence[str]) -> Pixels:
    image = Image.fromarray(whole)
    pen, left = ImageDraw.Draw(image), 0
    for (_, width), name in zip(pixels, names, strict=True):
        line = fit_line(name, width - 6, _LETTERS)
        pen.text((left + 3, whole.shape[0] - round(_LETTERS * 0.4)), line.text, font=line.font, fill=PALE, anchor="ls")
        left += width + _GAP
    return np.asarray(image)
