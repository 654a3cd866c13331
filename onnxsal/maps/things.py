"""The things that maps are of, found again by their ids, and what a map is drawn over."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UnsupportedError, UsageError, nearest
from onnxsal.maps.rows import as_text, checksum
from onnxsal.modalities.array import backdrop
from onnxsal.modalities.image import as_preprocess
from onnxsal.modalities.image.images import Photo, read_image
from onnxsal.modalities.image.modality import visible
from onnxsal.modalities.npy import is_npy, read_file
from onnxsal.modalities.registry import Seen
from onnxsal.modalities.sequence import drawn

OTHER = "its pixels are not those that were explained: it is another picture, or was decoded otherwise"


class Saved(Protocol):
    """What is read here of a map that was kept; ``SavedMap`` says what each is."""

    @property
    def box(self) -> tuple[float, float, float, float] | None: ...
    @property
    def photo_size(self) -> tuple[int, int] | None: ...
    @property
    def size(self) -> tuple[int, ...]: ...
    @property
    def crc32(self) -> int: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def modality(self) -> str: ...
    @property
    def channels(self) -> int | None: ...


class Things:
    """The files of a folder, by the ids of what was explained."""

    def __init__(self, folder: str | os.PathLike[str], ids: Iterable[str] = ()) -> None:
        """Args: ids: of everything that is looked for: the file of one is not taken for that of another."""
        if not os.path.isdir(folder):
            raise UsageError(f"no such folder of images: {os.fspath(folder)!r}")
        self._folder = Path(folder)
        self._named = {self._place(_parts(id)) for id in ids}

    def find(self, id: str) -> Path:
        """Return the file of an id: where that says, seen from the folder, or from one above (photos/a.jpg, now in
        photos); else the one below whose path ends so; else one that lies in the folder as the end of the id says.

        Raises: ImageError: there is none, or several fit alike.
        """
        parts = _parts(id)
        if (path := self._place(parts)) is not None:
            return path
        alike = [(_common_end(_whole(path), parts), path) for path in self._called(parts)]
        most = max((length for length, _ in alike), default=0)
        found = [path for length, path in alike if length == most]
        if not any(most == len(parts) or self._is_free(path, most) for path in found):
            near = nearest(parts[-1], self._by_name) if parts else ""
            raise ImageError(f"{id!r} is neither in the folder {str(self._folder)!r} nor below{near}")
        if len(found) > 1:
            raise ImageError(f"{id!r} may be {str(found[0])!r} or {str(found[1])!r}: name the folder of one of them")
        return found[0]

    def _place(self, parts: tuple[str, ...]) -> Path | None:
        """Return the file that lies where an id says, seen from the folder or from one above it."""
        above = _whole(self._folder)
        for at in range(len(parts)):
            if (at == 0 or above[-at:] == parts[:at]) and (path := self._folder.joinpath(*parts[at:])).is_file():
                return path
        return None

    def _is_free(self, path: Path, most: int) -> bool:
        """Return whether the end of an id, of so many parts, leads to a file from the folder, and no other id does."""
        return len(path.relative_to(self._folder).parts) <= most and path not in self._named

    def _called(self, parts: tuple[str, ...]) -> Sequence[Path]:
        """Return the files in the folder and below whose name is the last part of a path."""
        return self._by_name.get(parts[-1], ()) if parts else ()

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Every file below, by its name: listed once, where a path alone does not lead to one."""
        found: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(self._folder.rglob("*")):
            if path.is_file():
                found[as_text(path.name)].append(path)
        return found


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many parts of two paths are the same, from their ends on."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _whole(path: Path) -> tuple[str, ...]:
    return _parts(as_text(Path(os.path.abspath(path)).as_posix()))


def _parts(id: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(id).parts if part not in ("/", ".", ".."))


def seen_on(record: Saved, path: Path) -> Seen:
    """Return what a map that was kept is drawn over, from the file of what was explained.

    Raises: ImageError: it cannot be read, or is of another size. UnsupportedError: it is no picture.
    """
    if len(record.size) > 2 and record.modality != "array":
        raise UnsupportedError(f"a map of a {record.modality} is drawn by onnxsal explain; take its numbers from here")
    thing = read_file(path) if is_npy(path) or record.box is None else path
    if record.box is None or (isinstance(thing, np.ndarray) and thing.dtype.kind == "f"):
        return _of_array(record, np.asarray(thing), path)
    photo = read_image(thing)
    if photo.pixels.size != record.photo_size:
        sizes = (" x ".join(map(str, size)) for size in (photo.pixels.size, record.photo_size or ()))
        raise ImageError("{!r} is {} pixels, and the picture that was explained {}".format(str(path), *sizes))
    return Seen(_fitted(record, photo), record.box, np.asarray(photo.pixels))


def _fitted(record: Saved, photo: Photo) -> NDArray[np.uint8]:
    """Return what the model saw of a photograph, as the manifest says that it was prepared."""
    said = record.manifest["preprocess"]
    if isinstance(said, dict):  # a mean picture is named there, and takes no part in what is seen
        said = {name: value for name, value in said.items() if name != "mean" or not isinstance(value, dict | str)}
    prepared = as_preprocess(said)
    prepared = prepared.for_channels(1) if record.channels == 1 else prepared  # a preset's name does not tell it
    height, width = record.size
    return prepared.apply(photo, (height, width)).image


def _of_array(record: Saved, array: NDArray[Any], path: Path) -> Seen:
    """Return what a map of an array was drawn over.

    Raises: UnsupportedError: it is no picture. ImageError: it is another array, or the model made something else of it.
    """
    for x in laid_out(array, record.size):
        if record.modality == "image" and checksum(pixels := visible(x)) == record.crc32:
            return Seen(pixels, (0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0])), pixels)
        if record.modality == "sequence" and checksum(x) == record.crc32:
            return drawn(x)
        if record.modality == "array" and checksum(x) == record.crc32:
            return _shown(x, path)
    raise ImageError(
        f"{str(path)!r} is not the array that was explained, or its model changes arrays before they are explained; "
        "onnxsal explain draws such maps"
    )


def _shown(x: NDArray[np.float32], path: Path) -> Seen:
    made = backdrop(x[0])
    if made is None:
        raise UnsupportedError(f"a map of {str(path)!r} is no picture: take its numbers (onnxsal.read_maps)")
    return made()


def laid_out(array: NDArray[Any], size: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
    """Yield an array as models may have taken it, [C, *S]: its channels were in front, or last."""
    if array.size and array.size % math.prod(size) == 0:
        plain = array.astype(np.float32)
        yield plain.reshape(-1, *size)
        yield np.ascontiguousarray(np.moveaxis(plain.reshape(*size, -1), -1, 0))
