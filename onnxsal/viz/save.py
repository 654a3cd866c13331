"""Pictures as files: whole or not at all, in the format that the suffix names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

from onnxsal.errors import OutputError, UsageError, nearest
from onnxsal.files import replacing
from onnxsal.viz.colour import Pixels

PillowImage: TypeAlias = Image.Image

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 93, "subsampling": 0},  # captions fray where colour is subsampled
    "WEBP": {"quality": 93},
    "TIFF": {"compression": "tiff_lzw"},
}


def as_image(image: Pixels) -> PillowImage:
    """Return the picture, uint8 [h, w, 3], as Pillow has it: what notebooks show and programs write on."""
    return Image.fromarray(image)


def image_format(path: str | os.PathLike[str]) -> str:
    """Return the format that a file name asks for by its suffix, as Pillow calls it.

    Raises: UsageError: the suffix is missing or stands for no picture.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        got = f"the suffix {suffix!r}" if suffix else "no suffix"
        raise UsageError(
            f"{str(path)!r} has {got}{nearest(suffix, _FORMATS)}; pictures are written as {', '.join(_FORMATS)}"
        )
    return _FORMATS[suffix]


def save_image(image: Pixels, path: str | os.PathLike[str]) -> None:
    """Write the picture, uint8 [h, w, 3]; the file appears whole or not at all.

    Raises: UsageError: the suffix is not known. OutputError: it cannot be written.
    """
    kind = image_format(path)
    with replacing(path) as part:
        try:
            as_image(image).save(part, format=kind, **_OPTIONS.get(kind, {}))
        except ValueError as error:
            raise OutputError(f"cannot write {str(path)!r} as {kind}: {error}; choose another format") from error
