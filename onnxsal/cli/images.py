"""The pictures that a command names: files, folders and patterns."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from onnxsal.errors import UsageError
from onnxsal.modalities.said import Said, as_said


def gathered(images: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of the pictures that are meant, each once, as ``onnxsal evaluate`` finds them.

    Raises: UsageError: a folder holds no picture, a pattern matches nothing.
    """
    from onnxsal.evaluation.items import gather

    return tuple(str(each.source) for each in gather(list(images)))


def said(things: Sequence[str], *, words: bool) -> tuple[str, ...]:
    """Return what is named on a command line, the words among it marked: several in one argument that name no file, all
    where that is said, and what comes in for ``-``.

    Raises: UsageError: - is given twice, or what comes in is no text.
    """
    if list(things).count("-") > 1:
        raise UsageError("- is given twice: what comes in can be read once")
    return tuple(_taken(thing, words=words) for thing in things)


def _taken(thing: str, *, words: bool) -> str:
    if thing == "-":
        try:
            return Said(sys.stdin.read())
        except UnicodeDecodeError as error:
            raise UsageError(f"what comes in for - is no text: {error}") from None
    if not thing.strip():
        raise UsageError(f"{thing!r} is empty: there is nothing to explain")
    return Said(thing) if words else as_said(thing)


def short(thing: str) -> str:
    """Return what a thing is called where there is room for a name alone."""
    return thing.short if isinstance(thing, Said) else Path(thing).name


def in_folders(images: Iterable[str]) -> tuple[str, ...]:
    """Return the paths with those of the pictures in it, and below, in the place of a folder.

    Raises: UsageError: a folder holds none.
    """
    return tuple(path for image in images for path in (gathered([image]) if _is_folder(image) else (image,)))


def _is_folder(thing: str) -> bool:
    return not isinstance(thing, Said) and Path(thing).is_dir()


def each_once(images: Iterable[str]) -> tuple[str, ...]:
    """Return the paths without those of a picture that is there before, by another path or in a folder.

    A link to a picture is one of its own, since its name says how results are called; one to its folder is not.
    """
    found = dict[tuple[str, str], str]()
    for image in images:
        folder, name = os.path.split(os.path.abspath(image))
        found.setdefault((os.path.realpath(folder), name), image)
    return tuple(found.values())


def ids_of(named: Sequence[str], images: Sequence[str]) -> dict[str, str]:
    """Return what data calls the pictures, by their paths: of the one folder that is named the path in it, else that
    which was named. So it is the same whatever else is explained beside it."""
    folder = named[0] if len(named) == 1 and os.path.isdir(named[0]) else None
    paths = {each: Path(each) if folder is None else Path(each).relative_to(folder) for each in images}
    return {each: each if isinstance(each, Said) else path.as_posix() for each, path in paths.items()}
