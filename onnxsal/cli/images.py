"""The pictures that a command names: files, folders and patterns."""

from __future__ import annotations

from collections.abc import Iterable

from onnxsal.evaluation.items import gather


def gathered(images: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of the pictures that are meant, each once, as ``onnxsal evaluate`` finds them.

    Raises: UsageError: a folder holds no picture, a pattern matches nothing.
    """
    return tuple(str(each.source) for each in gather(list(images)))
