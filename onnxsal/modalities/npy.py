"""Arrays as users give them: NumPy's own, or the ``.npy`` file of one."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError
from onnxsal.files import nearest_file
from onnxsal.modalities.audio.files import is_sound


@dataclass(frozen=True)
class Named:
    """An array, and what messages call it."""

    name: str
    array: NDArray[Any]


def is_npy(thing: Any) -> bool:
    """Return whether a thing names an ``.npy`` file."""
    return isinstance(thing, str | os.PathLike) and Path(thing).suffix.lower() == ".npy"


def opened(thing: Any) -> Any:
    """Return the array that an ``.npy`` file holds, and of anything else the thing itself.

    Raises: ImageError: the file cannot be read.
    """
    return read_file(thing) if is_npy(thing) else thing


def read_array(thing: Any, what: str) -> Named:
    """Return an array that is given or lies in a file. Args: what: is read, as a message opens.

    Raises: ImageError: the file cannot be read. UsageError: it is neither.
    """
    if isinstance(thing, np.ndarray | np.generic):
        return Named("array", np.asarray(thing))
    if not isinstance(thing, str | os.PathLike):
        raise UsageError(f"{what} or an .npy file; got {type(thing).__name__}")
    if is_sound(thing):
        raise UsageError(
            f"{os.fspath(thing)!r} is a sound file, and nothing proves that the model takes sound. If it does, say at "
            "which rate: --rate HZ (preprocess={'sampling_rate': HZ})"
        )
    return Named(Path(thing).name, read_file(thing))


def read_file(path: str | os.PathLike[str], where: str = "") -> NDArray[Any]:
    """Return the array in an ``.npy`` file, whatever that is called. Args: where: what it is for, as messages open.

    Raises: ImageError: there is no such file, or it holds no array that can be read without running code.
    """
    path, about = Path(path), f"{where}: " if where else ""
    if not _is_file(path):
        raise ImageError(f"{about}no such file: {str(path)!r}{nearest_file(path)}")
    try:
        with path.open("rb") as file:  # NumPy leaves a file open that is no whole archive
            found = np.load(file, allow_pickle=False)
    except UNREADABLE as error:
        why = getattr(error, "strerror", None) or _what_is(path) or error
        raise ImageError(f"{about}{str(path)!r} is no array that NumPy can read: {why}") from None
    if not isinstance(found, np.ndarray):
        raise ImageError(f"{about}{str(path)!r} holds several arrays; name an .npy file of one")
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # longer than a name may be
        return False


def _what_is(path: Path) -> str:
    """Return what a file is that NumPy takes for something pickled, or nothing: the advice to run it would harm."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "it is empty"
    if head.startswith(_NUMPY):
        return ""
    return f"it begins with {head[:8]!r}, and an .npy file with {_NUMPY!r}; numpy.save writes one"


_NUMPY = b"\x93NUMPY"
"""What an ``.npy`` file begins with."""

UNREADABLE = (OSError, ValueError, EOFError, TypeError, SyntaxError, RuntimeError, MemoryError, TokenError, BadZipFile,
              zlib.error)  # fmt: skip
"""What NumPy raises of files that are damaged or something else: of a header, of an archive or what is packed in it."""
