"""Arrays as users give them: NumPy's own, or the ``.npy`` file of one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError
from onnxsal.files import nearest_file


@dataclass(frozen=True)
class Named:
    """An array, and what messages call it."""

    name: str
    array: NDArray[Any]


def opened(thing: Any) -> Any:
    """Return the array that an ``.npy`` file holds, and of anything else the thing itself.

    Raises: ImageError: the file cannot be read.
    """
    is_file = isinstance(thing, str | os.PathLike) and Path(thing).suffix == ".npy"
    return read_array(thing, "an array").array if is_file else thing


def read_array(thing: Any, what: str) -> Named:
    """Return an array that is given or lies in a file. Args: what: is read, as a message opens.

    Raises: ImageError: the file cannot be read. UsageError: it is neither.
    """
    if isinstance(thing, np.ndarray | np.generic):
        return Named("array", np.asarray(thing))
    if not isinstance(thing, str | os.PathLike):
        raise UsageError(f"{what} or an .npy file; got {type(thing).__name__}")
    path = Path(thing)
    if not path.is_file():
        raise ImageError(f"no such file: {str(path)!r}{nearest_file(path)}")
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise ImageError(f"{str(path)!r} is no array that NumPy can read: {error}") from None
    if not isinstance(found, np.ndarray):
        raise ImageError(f"{str(path)!r} holds several arrays; name an .npy file of one")
    return Named(path.name, found)
