"""The pictures to judge on: files, folders and patterns, each with what is known of it."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.errors import ImageError, UsageError
from onnxsal.files import is_address
from onnxsal.modalities import scans, series_file
from onnxsal.modalities.audio import files as sound_files
from onnxsal.modalities.image import ImageSource, content_of, name_of, read_image
from onnxsal.modalities.said import Said, as_said
from onnxsal.modalities.table_rows import TableRows
from onnxsal.modalities.tokens import text as text_files

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jfif", ".avif")
"""What is taken for a picture in a folder; a file that is named is tried whatever it is called."""

_OTHERS = {
    "arrays": (".npy",),
    "sounds": sound_files.SUFFIXES,
    "scans": scans.SUFFIXES,
    "series": series_file.SUFFIXES,
    "texts": text_files.SUFFIXES,
}
"""What is taken in a folder that holds no picture: the first of these kinds that is there, and it alone. For models of
texts these come first, since pictures may illustrate them."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the photograph; right and bottom lie outside."""

Outline = tuple[tuple[float, float], ...]
"""x and y of the corners of a turned box, one after the other round it."""


@dataclass(frozen=True)
class Item:
    """A picture to judge on.

    Args:
        source: a path, a PIL picture, an array or a picture file's bytes.
        name: how results call it.
        truth: the class that it shows, an index or a label, where it is known.
        boxes: of the object, in pixels of the photograph, or, with ``shares``, in shares of its width and height.
        mask: a picture of the photograph's size, above 0 on the object.
        kinds: what is in each box, where it is written beside it, by its name or number; classes: the model's class of
            each, None for none of them. Where there are classes, only boxes of the one that is explained count.
        ignored: of each box why a detector is not judged by it, such as ``crowd``; empty where it is.
        listed: every kind that the annotations tell of, on whatever picture.
        outlines: of each box the corners of the turned one that it is round; None of upright ones.
    """

    source: Any
    name: str
    truth: int | str | None = None
    boxes: tuple[Box, ...] | None = None
    mask: Path | None = None
    kinds: tuple[str | int | None, ...] | None = None
    classes: tuple[int | None, ...] | None = None
    shares: bool = False
    ignored: tuple[str, ...] | None = None
    listed: frozenset[str | int] = frozenset()
    outlines: tuple[Outline | None, ...] | None = None

    def boxes_of(self, target: object) -> tuple[Box, ...] | None:
        """Return the boxes that count where a class is explained; None where there are none."""
        if self.boxes is None or self.classes is None:
            return self.boxes
        return tuple(box for box, each in zip(self.boxes, self.classes, strict=True) if each == target) or None

    def of(self, target: object) -> Item:
        """Return the same with the boxes, and their outlines, that count where a class is explained."""
        if self.boxes is None or self.classes is None or self.outlines is None:
            return replace(self, boxes=self.boxes_of(target))
        kept = tuple(own for own, each in zip(self.outlines, self.classes, strict=True) if each == target)
        return replace(self, boxes=self.boxes_of(target), outlines=kept)

    @property
    def path(self) -> Path | None:
        """Where it lies, if it is a file."""
        is_named = isinstance(self.source, str | os.PathLike) and not isinstance(self.source, Said)
        return Path(self.source) if is_named else None

    @property
    def stem(self) -> str:
        """Its name without the ending: what masks and maps of it are called."""
        return Path(self.name).stem

    def digest(self) -> str:
        """Return the SHA-256 of its contents. Raises: ImageError: it cannot be read."""
        if isinstance(self.source, TableRows):
            return hashlib.sha256(repr(self.source.columns).encode() + self.source.values.tobytes()).hexdigest()
        if self.path is None:
            array, form = _pixels(self.source)
            return hashlib.sha256(repr((array.shape, array.dtype.str, *form)).encode() + array.tobytes()).hexdigest()
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"cannot read the picture {str(self.path)!r}: {reason}") from None


def _pixels(source: Any) -> tuple[NDArray[Any], tuple[Any, ...]]:
    """Of a PIL picture what is seen: its own numbers may stand for colours of a palette, or lie on their side."""
    if isinstance(source, Image.Image):
        return np.asarray(read_image(source).pixels), (source.mode, source.size)
    return np.asarray(source), ()


def gather(images: Any, *, words: bool = False) -> list[Item]:
    """Return the pictures that are meant: a folder stands for the pictures in it and below, a pattern for its matches.

    Args:
        images: one or several of: a path, a folder, a pattern with * or ?, a PIL picture, an array, bytes, a file open
            in binary mode, an Item.
        words: whether several words that name no file are a text, and texts come before pictures in a folder.
    Raises: UsageError: nothing is meant, a folder holds nothing of the kind, a pattern matches nothing.
    """
    several = images if isinstance(images, Iterable) and not _is_one(images) else [images]
    several = [as_said(each) if words and isinstance(each, str) else each for each in several]
    found = [each for image in several for each in _meant(image, words=words)]
    if not found:
        raise UsageError("there are no pictures to judge on; name files, folders or patterns")
    return _distinct(found)


_ONE = (str, os.PathLike, Image.Image, np.ndarray, Item, bytes, bytearray, memoryview)


def _is_one(images: Any) -> bool:
    return isinstance(images, _ONE) or _is_file(images)


def _is_file(image: Any) -> bool:
    return callable(getattr(image, "read", None))


def _meant(image: Any, *, words: bool) -> list[Item]:
    if isinstance(image, Item):
        return [image]
    if isinstance(image, Said):
        return [Item(image, image.short)]
    if isinstance(image, str | os.PathLike):
        return [Item(path, path.name) for path in _paths(os.fspath(image), words=words)]
    if _is_file(image):  # it can be read once, and a picture is read for each method
        return [Item(content_of(image), name_of(image, "name"))]
    name = os.path.basename(getattr(image, "filename", "")) or "picture"
    return [Item(image, name)]


def _paths(text: str, *, words: bool) -> list[Path]:
    if is_address(text):
        raise UsageError(f"{text!r} is an address, not a file: download the pictures and name their files or folder")
    path = Path(text)
    if path.is_dir():
        return _in_folder(path, words=words)
    if any(sign in text for sign in "*?[") and not path.exists():
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True) if Path(match).is_file())
        if not matches:
            raise UsageError(f"no file matches {text!r}")
        return matches
    return [path]


def _in_folder(folder: Path, *, words: bool) -> list[Path]:
    below = sorted(p for p in folder.rglob("*") if p.is_file())
    order = (SUFFIXES, *_OTHERS.values())
    for suffixes in (_OTHERS["texts"], *order) if words else order:
        if found := [p for p in below if p.suffix and p.name.lower().endswith(suffixes)]:
            return found
    others = ", ".join(f"{kind} ({', '.join(suffixes)})" for kind, suffixes in _OTHERS.items())
    raise UsageError(f"the folder {str(folder)!r} holds no pictures ({', '.join(SUFFIXES)}), nor {others}")


def _distinct(items: Sequence[Item]) -> list[Item]:
    """Names tell pictures apart in results: those that share one get their folder, then a number, before it."""
    once = list({_identity(each): each for each in items}.values())
    found: list[Item] = []
    taken: set[str] = set()
    for each in once:
        name = next(name for name in _names(each) if name not in taken)
        taken.add(name)
        found.append(_renamed(each, name))
    return found


def _identity(item: Item) -> Any:
    return str(item.path.absolute()) if item.path is not None else id(item.source)


def _names(item: Item) -> Iterable[str]:
    yield item.name
    if item.path is not None:
        yield item.path.as_posix()
    yield from (f"{item.name} ({number})" for number in range(2, 1 << 30))


def _renamed(item: Item, name: str) -> Item:
    return replace(item, name=name)


__all__ = ["SUFFIXES", "Box", "ImageSource", "Item", "gather"]
