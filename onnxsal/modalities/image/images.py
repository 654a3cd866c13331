"""Photographs from files, PIL pictures and byte arrays: RGB, upright, and one clear message when that cannot be had."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from onnxsal.errors import ImageError, UsageError, one_line
from onnxsal.files import is_address, nearest_file
from onnxsal.modalities.image.colours import Levels, of_words, to_rgb
from onnxsal.modalities.image.sniff import what_is

Bytes: TypeAlias = bytes | bytearray | memoryview
ImageSource: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | Bytes | IO[bytes]

_SMALLEST = 2
_ORIENTATION = 0x0112
_HEAD = 4096
_BYTES = 10
"""Of a pixel while it is read: four as Pillow holds it, three as an array, the rest for turning and fitting it."""
# Pillow's decoders raise all of these on malformed bytes, not only OSError.
MALFORMED = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Photo:
    """A photograph as a person sees it: RGB, upright.

    Args:
        pixels: mode RGB, with the EXIF orientation applied.
        notes: what had to be decided to get there ("animated: the first frame is used"), for the user to read.
        name: the file's name, or "picture" or "array" for what came without one.
    """

    pixels: Image.Image
    notes: tuple[str, ...] = ()
    name: str = "picture"
    levels: Levels | None = None
    """Of a picture of more than eight bits a colour what its pixels round, 0 to 255: [H, W, 1] or [H, W, 3]."""


def read_image(source: ImageSource) -> Photo:
    """Return the photograph in a file, a PIL picture (its current frame), a uint8 array, or a file's content.

    Content is bytes, or a file open in binary mode, read from where it stands to its end and left open.

    Transparent parts are shown on white, of an animated file the first frame is taken; the notes say so. Grey of 16
    bits or floats keeps its levels, and so does a uint16 array. Colour profiles are not applied: models are trained
    without them.

    Shape: an array is [H, W], [H, W, 1], [H, W, 3] (RGB) or [H, W, 4] (RGBA).
    Raises: ImageError: the picture cannot be read or is useless. UsageError: ``source`` is something else.
    """
    if isinstance(source, np.ndarray) and source.dtype == np.uint16 and _is_picture(source.shape):
        return _guarded(lambda: _from_words(source), "the array")
    if isinstance(source, np.ndarray):
        return _guarded(lambda: _finish(_from_array(source), "array"), "the array")
    if isinstance(source, Image.Image):
        return _guarded(lambda: _finish(source, name_of(source)), f"the picture {name_of(source)!r}")
    if isinstance(source, str | os.PathLike):
        if is_address(source):
            raise ImageError(f"{source!r} is an address, not a file: download the picture and name its file")
        return _from_file(Path(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_content(bytes(source), "bytes")
    if callable(getattr(source, "read", None)):
        return _from_content(content_of(source), name_of(source, "name"))
    raise UsageError(
        "an image is a path, a PIL picture, a uint8 array, bytes or a file open in binary mode; "
        f"got {type(source).__name__}"
    )


def pixels_in(content: bytes) -> int:
    """Return how many pixels a picture says that it has, by its head; of anything else 0."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.width * image.height
    except (*MALFORMED, *BOMBS, Warning, MemoryError):
        return 0


def decoded_bytes(path: str | os.PathLike[str]) -> int:
    """Return about how many bytes reading a picture takes, by the head of its file; of other files their own."""
    try:
        with Image.open(path) as image:
            return image.width * image.height * _BYTES
    except (*MALFORMED, *BOMBS, Warning, MemoryError):
        return os.path.getsize(path) if os.path.isfile(path) else 0


def _from_file(path: Path) -> Photo:
    head = _head(path)
    with _identified(str(path), head):
        return _guarded(lambda: _open(path, path.name), f"the picture {str(path)!r}")


def _from_content(content: bytes, name: str) -> Photo:
    if not content:
        raise ImageError(f"cannot read {name!r}: there are no bytes in it; a file that was read before is at its end")
    with _identified(name, content[:_HEAD]):
        return _guarded(lambda: _open(io.BytesIO(content), name), f"the picture {name!r}")


@contextmanager
def _identified(name: str, head: bytes) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:
        said = what_is(head, Path(name).suffix)
        raise ImageError(f"{name!r} is not a picture that can be read: {said}") from None


def content_of(file: IO[bytes]) -> bytes:
    """Return what a file open in binary mode holds from where it stands.

    Raises: ImageError: it cannot be read. UsageError: it is open for text.
    """
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed
        raise ImageError(f"cannot read {name_of(file, 'name')!r}: {error}") from None
    if not isinstance(content, bytes):
        raise UsageError(f"an image is read from a file open in binary mode ('rb'); got {type(content).__name__} of it")
    return content


def _head(path: Path) -> bytes:
    """The first bytes, so that what is wrong with the file itself is said before any decoder is asked."""
    if os.path.isdir(path):
        raise ImageError(f"cannot read {str(path)!r}: it is a folder; name its pictures ({path / '*.jpg'} in a shell)")
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        other = path.suffix and path.suffix.lower() not in Image.registered_extensions()  # a text, a sound, a table
        raise ImageError(f"no such {'file' if other else 'picture'}: {str(path)!r}{nearest_file(path)}") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}") from None
    if not head:
        raise ImageError(f"cannot read {str(path)!r}: the file is empty")
    return head


def _open(file: Path | IO[bytes], name: str) -> Photo:
    with Image.open(file) as image:
        if image.format == "EPS":
            whole = str(file) if isinstance(file, Path) else name
            raise ImageError(f"{whole!r} is a PostScript drawing, which is not read; convert it to PNG")
        notes = (*_frames(image), *_cut(image))
        photo = _finish(image, name)
    return replace(photo, notes=notes + photo.notes)


def _frames(image: Image.Image) -> tuple[str, ...]:
    """A note on further frames. MPO is left out: phones hide a depth map or a thumbnail behind an ordinary JPEG."""
    count = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if count < 2:
        return ()
    image.seek(0)
    many = f"has {count} pages: the first is" if image.format == "TIFF" else f"animated, {count} frames: the first is"
    return (f"{many} used",)


def _cut(image: Image.Image) -> tuple[str, ...]:
    """A note on colours of 16 bits, of which Pillow reads the upper eight."""
    is_cut = image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    return ("16 bits a colour: the upper 8 are read; a uint16 array keeps all of them",) if is_cut else ()


def _finish(image: Image.Image, name: str) -> Photo:
    _check_size(image, name)
    image.load()
    turned, notes = _upright(image)
    found = to_rgb(turned)
    return Photo(found.image, notes + found.notes, name, found.levels)


def _check_size(image: Image.Image, name: str) -> None:
    if min(image.size) < _SMALLEST:
        raise ImageError(
            f"the picture {name!r} is {image.width} x {image.height} pixels: nothing to explain; "
            f"at least {_SMALLEST} x {_SMALLEST} are needed"
        )
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{image.width * image.height} pixels, {Image.MAX_IMAGE_PIXELS} pixels")


def _upright(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    if image.getexif().get(_ORIENTATION, 1) not in range(2, 9):
        return image, ()
    return ImageOps.exif_transpose(image), ("turned upright as its EXIF orientation says",)


def _guarded(read: Callable[[], Photo], what: str) -> Photo:
    """Run a reader with Pillow's many exceptions turned into one.

    Its warnings go where the host's filters send them: filters belong to the process, and setting them for a moment in
    one thread changes them for all, for good where two threads do so at once.
    """
    try:
        return read()
    except (ImageError, UsageError, UnidentifiedImageError):
        raise
    except BOMBS as error:
        raise ImageError(f"{what} is refused: {_bomb(str(error))}") from None
    except Warning as warning:
        raise ImageError(f"{what}: Pillow warns of it, and your filters make warnings errors: {warning}") from None
    except MemoryError:
        raise ImageError(f"{what} does not fit in memory; make it smaller") from None
    except MALFORMED as error:
        raise ImageError(f"{what} is damaged or truncated: {one_line(error)}") from None


def _bomb(message: str) -> str:
    counts = [int(count) for count in re.findall(r"(\d+) pixels", message)]
    found = f"{counts[0]:,} pixels" if counts else "its size"
    return (
        f"{found} is more than the limit of {Image.MAX_IMAGE_PIXELS:,} "
        "(a decompression bomb?); make the picture smaller, a model sees a few hundred pixels a side"
    )


def name_of(source: Any, attribute: str = "filename") -> str:
    """Return the file's name that a PIL picture or an open file knows; a descriptor's number is none."""
    filename = getattr(source, attribute, "")
    known = isinstance(filename, str | bytes | os.PathLike) and filename
    return os.path.basename(os.fsdecode(filename)) if known else "picture"


def _is_picture(shape: tuple[int, ...]) -> bool:
    return 0 not in shape and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)))


def _from_words(array: NDArray[Any]) -> Photo:
    found = of_words(array)
    _check_size(found.image, "array")
    return Photo(found.image, name="array", levels=found.levels)


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise UsageError(
            "an image array is uint8 or uint16 of shape [H, W], [H, W, 1], [H, W, 3] (RGB), or uint8 [H, W, 4] (RGBA); "
            f"got {array.dtype} {list(array.shape)}"
        )
    if 0 in array.shape:
        raise ImageError(
            f"the array is {array.shape[1]} x {array.shape[0]} pixels: nothing to explain; "
            f"at least {_SMALLEST} x {_SMALLEST} are needed"
        )
    flat = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return Image.fromarray(np.ascontiguousarray(flat))
