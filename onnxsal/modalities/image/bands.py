"""Numbers that are taken as they are: arrays, NumPy's files, and pictures of more bands than a photograph has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.anatomy import Entry
from onnxsal.anatomy.parts import ones
from onnxsal.errors import ImageError, one_line
from onnxsal.modalities.image.images import BOMBS, MALFORMED
from onnxsal.modalities.npy import opened

PHOTOGRAPHS = (1, 3)
"""Channels of models that take photographs: grey, or red, green and blue."""

_PAGED = (".tif", ".tiff")


@dataclass(frozen=True)
class Bands:
    """An array with the axes of a model's input, one thing with its batch axis."""

    array: NDArray[Any]
    name: str
    notes: tuple[str, ...] = ()


def bands_of(thing: Any, entry: Entry) -> Bands | None:
    """Return the numbers of a thing, or None where it is a photograph.

    Such are float arrays, ``.npy`` files of them, and for a model of other than one or three channels every array, and
    a TIFF whose pages or bands are as many. Channels may be first or last, whatever the model wants.

    Raises: ImageError: the file cannot be read.
    """
    found = _numbers(thing, entry)
    if found is None:
        return None
    more, array = ones(entry.input_axes), found.array
    if more and array.ndim == len(entry.input_axes) - 1 - len(more):  # without the axis of one frame
        array = np.expand_dims(array[None], tuple(more))
    whole = array[None] if array.ndim == len(entry.input_axes) - 1 else array
    return _ordered(Bands(whole, found.name, found.notes), entry)


def _numbers(thing: Any, entry: Entry) -> Bands | None:
    if isinstance(thing, np.ndarray):
        return Bands(thing, "array") if _is_numbers(thing, entry) else None
    if not isinstance(thing, str | os.PathLike):
        return None
    path, array = Path(thing), opened(thing)
    if isinstance(array, np.ndarray):
        return Bands(array, path.name) if _is_numbers(array, entry) else None
    if path.suffix.lower() in _PAGED and entry.channels not in PHOTOGRAPHS and path.is_file():
        return _pages(path, entry.channels)
    return None


def _is_numbers(array: NDArray[Any], entry: Entry) -> bool:
    return array.dtype.kind == "f" or (array.dtype.kind in "iu" and entry.channels not in PHOTOGRAPHS)


def _pages(path: Path, channels: int) -> Bands | None:
    """Return the pages of a TIFF where they are as many as the model's channels, or its bands; [C, H, W]."""
    try:
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) == channels:
                pages = []
                for page in range(channels):
                    image.seek(page)
                    pages.append(np.asarray(image))
                array = np.stack(pages) if len({p.shape for p in pages}) == 1 and pages[0].ndim == 2 else None
            else:
                array = np.asarray(image).transpose(2, 0, 1) if len(image.getbands()) == channels else None
    except (*MALFORMED, *BOMBS, MemoryError) as error:
        raise ImageError(f"the picture {str(path)!r} is damaged or truncated: {one_line(error)}") from None
    return None if array is None else Bands(array, path.name)


def _ordered(found: Bands, entry: Entry) -> Bands:
    """Return the array with its channels where the model has them."""
    array, last = found.array, entry.input_axes.endswith("C")
    if array.ndim != len(entry.input_axes) or array.shape[entry.input_axes.index("C")] == entry.channels:
        return found
    there = 1 if last else array.ndim - 1
    if array.shape[there] != entry.channels:
        return found
    moved = np.moveaxis(array, there, array.ndim - 1 if last else 1)
    return Bands(np.ascontiguousarray(moved), found.name, (*found.notes, _turned(last)))


def _turned(last: bool) -> str:
    where = ("first", "last") if last else ("last", "first")
    return f"channels are its {where[0]} axis, and were put {where[1]} for the model"
