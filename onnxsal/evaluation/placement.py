"""Boxes and masks of a photograph, moved to where the model's picture lies in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.errors import ImageError, UsageError
from onnxsal.evaluation.items import Box, Item
from onnxsal.evaluation.match import files_below, matched
from onnxsal.modalities.image.fit import Placement
from onnxsal.modalities.image.masks import read_mask
from onnxsal.modalities.image.preprocess import Preprocess

Bools = NDArray[np.bool_]
_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
_EDGE = 1.0
"""Pixels by which a box may stand over the photograph's edge: rounding, or counting from 1."""


def with_masks(items: Sequence[Item], folder: str | os.PathLike[str] | None) -> list[Item]:
    """Return the pictures with the masks of their names in a folder; one without a mask keeps none.

    Raises: UsageError: there is no such folder, or no mask for any picture.
    """
    if folder is None:
        return list(items)
    if not Path(folder).is_dir():
        raise UsageError(f"--masks is a folder of pictures named like those to judge on; there is no {str(folder)!r}")
    known = files_below(Path(folder), _SUFFIXES)
    masks = matched(items, known, f"the folder {str(folder)!r}")
    found = [replace(each, mask=own or each.mask) for each, own in zip(items, masks, strict=True)]
    if all(each.mask is None for each in found):
        raise UsageError(
            f"the folder {str(folder)!r} holds {len(known)} masks ({', '.join(_SUFFIXES)}), but none for these "
            f"pictures; expected for example {items[0].stem + '.png'!r}"
        )
    return found


def placement(photo: tuple[int, int], size: tuple[int, int], preprocess: Preprocess | None) -> Placement:
    """Return where the model's picture (``size``: height, width) lies in a photograph (width, height)."""
    if preprocess is None:
        wanted = size[1], size[0]
        return Placement(wanted, wanted, (0, 0), wanted)
    return preprocess.place(photo, size)


def moved_boxes(item: Item, at: Placement) -> NDArray[np.float64] | None:
    """Return a picture's boxes in pixels of the model's input, clipped to it, [K, 4]; None where none is in view.

    Raises: ImageError: a box lies outside of the photograph.
    """
    if item.boxes is None:
        return None
    check_boxes(item, at.photo)
    whole = (1, 1) if item.shares else at.photo
    across, down = at.scaled[0] / whole[0], at.scaled[1] / whole[1]
    scaled = np.array(item.boxes, np.float64).reshape(-1, 4) * (across, down, across, down)
    shifted = scaled - (*at.offset, *at.offset)
    clipped = np.clip(shifted, 0, (*at.size, *at.size))
    seen = clipped[(clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])]
    return seen if len(seen) else None


def check_boxes(item: Item, photo: tuple[int, int]) -> None:
    """Raise ImageError where a box lies outside of the photograph (width, height), as of a picture of another size."""
    for box in (item.boxes or ()) if not item.shares else ():
        _check(item, box, photo)


def _check(item: Item, box: Box, photo: tuple[int, int]) -> None:
    left, top, right, bottom = box
    if left < -_EDGE or top < -_EDGE or right > photo[0] + _EDGE or bottom > photo[1] + _EDGE:
        shown = ", ".join(f"{value:g}" for value in box)
        raise ImageError(
            f"{item.name}: the box ({shown}) lies outside of the picture, which is {photo[0]} x {photo[1]}; "
            "a box is left, top, right, bottom in pixels of the upright photograph"
        )


def boxes_mask(boxes: NDArray[np.float64], size: tuple[int, int]) -> Bools:
    """Return the pixels [H, W] whose centres lie in one of the boxes."""
    rows, columns = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None, :] + 0.5
    inside = np.zeros(size, np.bool_)
    for left, top, right, bottom in boxes:
        inside |= (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    return inside


def moved_outlines(item: Item, at: Placement) -> Bools | None:
    """Return what a picture's boxes hold at the model's input, [H, W], turned ones within their corners; None where
    none is turned, or nothing of them is in view."""
    if item.boxes is None or item.outlines is None or not any(item.outlines):
        return None
    whole = (1, 1) if item.shares else at.photo
    scale = np.array([at.scaled[0] / whole[0], at.scaled[1] / whole[1]])
    inside = np.zeros(at.size[::-1], np.bool_)
    for (left, top, right, bottom), outline in zip(item.boxes, item.outlines, strict=True):
        corners = outline or ((left, top), (right, top), (right, bottom), (left, bottom))
        inside |= outline_mask(np.array(corners, np.float64) * scale - at.offset, at.size[::-1])
    return inside if inside.any() else None


def outline_mask(corners: NDArray[np.float64], size: tuple[int, int]) -> Bools:
    """Return the pixels [H, W] whose centres lie inside an outline of x and y, [K, 2]: an odd number of its sides is
    left of them."""
    rows, columns = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None, :] + 0.5
    inside = np.zeros(size, np.bool_)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            crossed = (rows >= min(y0, y1)) & (rows < max(y0, y1))
            inside ^= crossed & (x0 + (rows - y0) * (x1 - x0) / (y1 - y0) <= columns)
    return inside


def moved_mask(item: Item, at: Placement) -> Bools | None:
    """Return a picture's mask at the model's input, [H, W]; None where it has none, or nothing of it is in view.

    Raises: ImageError: the mask cannot be read, or its size is not the photograph's.
    """
    if item.mask is None:
        return None
    mask = _read(item)
    if mask.size != at.photo:
        raise ImageError(
            f"{item.name}: its mask {str(item.mask)!r} is {mask.width} x {mask.height}, and the picture "
            f"{at.photo[0]} x {at.photo[1]} (width x height, upright); make them one size"
        )
    moved = Image.new("L", at.size, 0)
    moved.paste(mask.resize(at.scaled, Image.Resampling.BILINEAR), (-at.offset[0], -at.offset[1]))
    inside: Bools = np.asarray(moved) > 127
    return inside if inside.any() else None


def _read(item: Item) -> Image.Image:
    try:
        inside = read_mask(str(item.mask))
    except ImageError as error:
        raise ImageError(f"{item.name}: {error}") from None
    return Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))
