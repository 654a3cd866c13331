"""Pictures as files: whole or not at all, in the format that the suffix names."""

from __future__ import annotations

import io
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
    "WEBP": {"quality": 93, "method": 2},  # Pillow's own 4 takes twice as long for files of the same size
    "TIFF": {"compression": "tiff_lzw"},
}

FAST = 1
"""PNG's effort for maps on photographs: a quarter of the time of Pillow's own 6 for files 6 % larger."""
_MOST = 9


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


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Return whether a file name asks for a picture by its suffix."""
    return Path(path).suffix.lower() in _FORMATS


def save_image(image: Pixels | PillowImage, path: str | os.PathLike[str], *, effort: int | None = None) -> None:
    """Write the picture, uint8 [h, w, 3] or as Pillow has it; the file appears whole or not at all.

    Args: effort: see ``encoding``.
    Raises: UsageError: the suffix is not known, or the format has no effort. OutputError: it cannot be written.
    """
    kind, options = encoding(path, effort)
    with replacing(path) as part:
        try:
            (image if isinstance(image, PillowImage) else as_image(image)).save(part, format=kind, **options)
        except ValueError as error:
            raise OutputError(f"cannot write {str(path)!r} as {kind}: {error}; choose another format") from error


def encoding(path: str | os.PathLike[str], effort: int | None = None) -> tuple[str, dict[str, Any]]:
    """Return the format that a file name asks for, and the options of its encoder.

    Args: effort: of PNG, from 0 (fast, a large file) to 9 (slow, a small one); None leaves it to Pillow.
    Raises: UsageError: the suffix is not known, or the format has no effort.
    """
    kind = image_format(path)
    if effort is None:
        return kind, _OPTIONS.get(kind, {})
    if kind != "PNG":
        raise UsageError(f"effort={effort!r} is for PNG; {str(path)!r} is written as {kind}")
    if effort not in range(_MOST + 1):
        raise UsageError(f"effort={effort!r}: expected a whole number from 0 to {_MOST}")
    return kind, {"compress_level": effort}


def fast(path: str | os.PathLike[str], effort: int | None) -> int | None:
    """Return an effort that was asked for, else the fast one where the file is a PNG."""
    return FAST if effort is None and image_format(path) == "PNG" else effort


def png(image: PillowImage) -> bytes:
    """Return a picture as the content of a PNG file, encoded fast."""
    return content(image, ".png")


def content(image: PillowImage, suffix: str) -> bytes:
    """Return a picture as the content of a file with such a suffix. Raises: UsageError: it stands for no picture."""
    buffer, name = io.BytesIO(), f"map{suffix}"
    kind, options = encoding(name, fast(name, None))
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()
