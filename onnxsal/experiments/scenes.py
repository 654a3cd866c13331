"""Pictures with a mask for each of their objects: read from a folder, or made as mosaics of photographs.

A folder of scenes has a file ``scenes.json``::

    {"format": "onnxsal scenes 1",
     "scenes": [{"picture": "0000.png", "masks": "0000.masks.png", "labels": ["star", "star"]}, ...]}

``masks`` is a grey picture of the same size: 0 is no object, k is object k, whose class is the k-th label (a name or an
index of the model's).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError
from onnxsal.explanation import Explanation
from onnxsal.modalities.image import read_image

INDEX = "scenes.json"
FORMAT = "onnxsal scenes 1"
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 [h, w, 3], its objects' masks as one array of numbers [h, w], and their classes."""

    image: Bytes
    objects: Bytes
    labels: tuple[int | str, ...]
    name: str

    def masks(self, explanation: Explanation) -> NDArray[np.bool_]:
        """Return the objects' masks as the model saw the picture, [n, H, W]; what the fit cuts away is not there."""
        left, top, across, down = explanation.canvas().box
        height, width = explanation.saliency.shape
        rows = np.floor(top + (np.arange(height) + 0.5) * down / height).astype(np.intp)
        columns = np.floor(left + (np.arange(width) + 0.5) * across / width).astype(np.intp)
        inside = _within(rows, len(self.objects))[:, None] & _within(columns, self.objects.shape[1])[None, :]
        seen = self.objects[rows.clip(0, len(self.objects) - 1)][:, columns.clip(0, self.objects.shape[1] - 1)]
        return np.stack([(seen == k + 1) & inside for k in range(len(self.labels))])


def _within(places: NDArray[np.intp], size: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (places >= 0) & (places < size)
    return found


def is_folder(images: Sequence[str]) -> bool:
    """Return whether what was named is one folder of scenes rather than pictures."""
    return len(images) == 1 and Path(images[0]).is_dir()


def read_scenes(folder: str) -> list[Scene]:
    """Return the scenes of a folder.

    Raises: ImageError: scenes.json is missing or damaged, or a picture does not fit its masks.
    """
    path = Path(folder) / INDEX
    entries = _entries(path)
    return [_scene(path, at, entry) for at, entry in enumerate(entries)]


def scene_files(folder: str) -> list[str]:
    """Return the files that a folder of scenes consists of. Raises: ImageError: scenes.json is missing or damaged."""
    path = Path(folder) / INDEX
    entries = [_checked(path, at, entry) for at, entry in enumerate(_entries(path))]
    return [str(path), *(str(path.parent / str(entry[name])) for entry in entries for name in ("picture", "masks"))]


def _entries(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ImageError(f"{str(path.parent)!r} has no {INDEX}: a folder of scenes names its pictures there") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read {str(path)!r}: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("scenes"), list):
        raise ImageError(f'{str(path)!r}: expected {{"format": "{FORMAT}", "scenes": [...]}}')
    if not found["scenes"]:
        raise ImageError(f"{str(path)!r} names no scene")
    return list(found["scenes"])


def _checked(path: Path, at: int, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or {"picture", "masks", "labels"} - set(entry):
        raise ImageError(f"{str(path)!r}, scene {at}: expected picture, masks and labels")
    return entry


def _scene(path: Path, at: int, entry: Any) -> Scene:
    where = f"{str(path)!r}, scene {at}"
    labels = _checked(path, at, entry)["labels"]
    if not isinstance(labels, list) or not labels or not all(isinstance(each, int | str) for each in labels):
        raise ImageError(f"{where}: labels is a list of class names or indices, one for each object")
    image = np.asarray(read_image(path.parent / str(entry["picture"])).pixels)
    numbers = np.asarray(read_image(path.parent / str(entry["masks"])).pixels)
    _check_masks(where, image, numbers, len(labels))
    return Scene(image, numbers[..., 0], tuple(labels), str(entry["picture"]))


def _check_masks(where: str, image: Bytes, numbers: Bytes, count: int) -> None:
    if image.shape != numbers.shape:
        shapes = [f"{each.shape[1]} x {each.shape[0]}" for each in (image, numbers)]
        raise ImageError(f"{where}: the picture is {shapes[0]} and its masks {shapes[1]}; they must be of one size")
    if (numbers != numbers[..., :1]).any():
        raise ImageError(f"{where}: the masks are in colour; expected grey, 0 for no object and k for object k")
    missing = [k for k in range(1, count + 1) if not (numbers[..., 0] == k).any()]
    if missing or numbers.max() > count:
        raise ImageError(
            f"{where}: {count} labels, but the masks hold the values {[int(k) for k in np.unique(numbers) if k]}; "
            f"expected 1 to {count}"
        )


def mosaic(tiles: Sequence[Bytes], columns: int, size: tuple[int, int]) -> tuple[Bytes, Bytes]:
    """Return pictures of any size as one mosaic [H, W, 3] row by row, and the number of each place's tile, from 1.

    It has exactly that size (height, width), so that a model that takes it neither scales nor crops it again.

    Raises: UsageError: the tiles do not fill the rows.
    """
    rows = len(tiles) // columns
    if rows * columns != len(tiles) or not rows:
        raise UsageError(f"a mosaic of {columns} columns cannot be made of {len(tiles)} pictures")
    down, across = (
        [round(side * k / parts) for k in range(parts + 1)] for side, parts in zip(size, (rows, columns), strict=True)
    )
    image, numbers = np.full((*size, 3), 127, np.uint8), np.zeros(size, np.uint8)
    for at, tile in enumerate(tiles):
        row, column = divmod(at, columns)
        place = np.s_[down[row] : down[row + 1], across[column] : across[column + 1]]
        image[place] = covering(tile, numbers[place].shape)
        numbers[place] = at + 1
    return image, numbers


def covering(image: Bytes, size: tuple[int, int]) -> Bytes:
    """Return the middle of a picture at that size [h, w], scaled so that it covers it; mean of the pixels that meet."""
    factor = max(size[0] / image.shape[0], size[1] / image.shape[1])
    spans = [each / factor for each in size]
    starts = [(have - span) / 2 for have, span in zip(image.shape[:2], spans, strict=True)]
    exact = image.astype(np.float64)
    for axis in (0, 1):
        weights = _overlaps(image.shape[axis], starts[axis], spans[axis], size[axis])
        exact = np.moveaxis(np.tensordot(weights, exact, (1, axis)), 0, axis)
    return np.rint(exact).clip(0, 255).astype(np.uint8)


def _overlaps(pixels: int, start: float, span: float, count: int) -> NDArray[np.float64]:
    """How much of each new pixel every old one covers, [new, old]; rows add up to 1."""
    edges = start + np.arange(count + 1) * span / count
    low = np.maximum(edges[:-1, None], np.arange(pixels)[None])
    high = np.minimum(edges[1:, None], np.arange(1, pixels + 1)[None])
    cover = np.maximum(high - low, 0.0)
    found: NDArray[np.float64] = cover / cover.sum(axis=1, keepdims=True)
    return found
