"""Masks in files: pictures that are above 0 where the object is, and arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from onnxsal.errors import ImageError, one_line
from onnxsal.files import nearest_file
from onnxsal.modalities.image.images import BOMBS, MALFORMED
from onnxsal.modalities.npy import is_npy, read_file

_AS_THEY_ARE = ("1", "P", "I", "I;16", "F", "L")
"""Modes of one number a pixel: a palette's are classes, and no class but the first is nothing."""


def read_mask(path: str | os.PathLike[str]) -> NDArray[np.bool_]:
    """Return where a mask is above 0, whether it counts to 1 or to 255, bool [H, W]; of an ``.npy`` file the array.

    Raises: ImageError: it cannot be read, or is no plane of numbers.
    """
    values = read_file(path, "the mask") if is_npy(path) else _values(path)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise ImageError(f"the mask {os.fspath(path)!r} holds {values.dtype} {list(values.shape)}, not [H, W]")
    found: NDArray[np.bool_] = values > 0
    return found


def _values(path: str | os.PathLike[str]) -> NDArray[Any]:
    try:
        with Image.open(path) as image:
            return np.asarray(image if image.mode in _AS_THEY_ARE else image.convert("L"))
    except FileNotFoundError:
        raise ImageError(f"the mask: no such file: {os.fspath(path)!r}{nearest_file(Path(path))}") from None
    except (*MALFORMED, *BOMBS, MemoryError) as error:
        why = "it is no picture" if isinstance(error, UnidentifiedImageError) else getattr(error, "strerror", None)
        raise ImageError(f"the mask {os.fspath(path)!r} cannot be read: {why or one_line(error)}") from None
