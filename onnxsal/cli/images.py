"""The pictures that a command names: files, folders and patterns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onnxsal.errors import UsageError


def gathered(images: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of the pictures that are meant, each once, as ``onnxsal evaluate`` finds them.

    Raises: UsageError: a folder holds no picture, a pattern matches nothing.
    """
    from onnxsal.evaluation.items import gather

    return tuple(str(each.source) for each in gather(list(images)))


def in_folders(images: Iterable[str]) -> tuple[str, ...]:
    """Return the paths with those of the pictures in it, and below, in the place of a folder that holds some."""
    return tuple(path for image in images for path in (_in(image) if Path(image).is_dir() else (image,)))


def _in(folder: str) -> tuple[str, ...]:
    try:
        return gathered([folder])
    except UsageError:  # reading it says what it is, in the words of a picture that cannot be read
        return (folder,)
