"""Regions: where in a picture a class is asked for, by a mask, a box or a point."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import NotSeenError, UsageError
from onnxsal.modalities.frame import Frame
from onnxsal.tasks.labels import Labels

Mask = NDArray[np.bool_]
Doubles = NDArray[np.float64]
Grid = tuple[int, int]

_KINDS = ("mask", "box", "point")
_MASKS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".npy", ".webp", ".jpg", ".jpeg", ".nii", ".gz")
_IN_SHARES = (
    "is in shares of the picture that the model sees, from 0 to 1; for pixels of the photograph say pixels=True"
)


@dataclass(frozen=True)
class Region:
    """A class at a place: in a mask, in a box (left, top, right, bottom), or at a point (x, y).

    Units: with ``pixels`` all of them are of the upright photograph, as a user has it, and what the model was shown of
    it is found by its preprocessing; a position counts by the part of it that the mask or box covers. Without, box and
    point are shares of the picture that the model sees, 0 to 1 (a position counts whose middle is in the box), and a
    mask has the output's height and width.

    Of volumes a point is (z, y, x), a box (z, y, x, z, y, x), the least of each and then the greatest, and a mask has
    three axes: all of them of the model's axes D, H and W in their order.

    Args:
        target: index or label of the class.
        mask: an array [H, W], not 0 on the region, or the path of a picture or ``.npy`` file, above 0 on it.
    """

    target: int | str
    mask: Any = None
    box: tuple[float, ...] | None = None
    point: tuple[float, ...] | None = None
    pixels: bool = False

    def placed(self, grid: Grid, frame: Frame) -> At:
        """Return which positions of an output count, and how much.

        Raises: UsageError: it is no region, fits none, or holds none. ImageError: its mask cannot be read.
        """
        kind = self.kind(2)
        covered = (_IN_PIXELS if self.pixels else _SHARED)[kind](getattr(self, kind), grid, frame)
        if kind == "mask" and not _mask(self.mask).any():
            raise UsageError(f"the region's mask{_file(self.mask)} is 0 everywhere: it is above 0 on the region")
        if not covered.any():
            kind_of = NotSeenError if self.pixels else UsageError  # other photographs may be larger
            raise kind_of(f"the region holds no position of the output{_seen_part(frame) if self.pixels else ''}")
        about = self._about(kind)
        assumed = {"assumed": frame.assumed} if self.pixels and frame.assumed else {}
        return At(self.target, covered / covered.sum(), {**about, **assumed})

    def kind(self, rank: int) -> str:
        """Return which of the three it has. Args: rank: how many axes of positions there are.

        Raises: UsageError: it has several, or not as many numbers.
        """
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise UsageError(f"a region has a mask or a box or a point: one of them; got {', '.join(given) or 'none'}")
        expected = {"box": 2 * rank, "point": rank}.get(given[0])
        numbers = getattr(self, given[0])
        if expected is not None and not _are_numbers(numbers, expected):
            sides = {4: "left, top, right, bottom", 2: "x, y", 3: "z, y, x", 6: "z, y, x, z, y, x"}[expected]
            raise UsageError(f"a region's {given[0]} is {sides}, finite numbers; got {numbers!r}")
        return given[0]

    def _about(self, kind: str) -> Mapping[str, Any]:
        """What makes it again, as plain data."""
        given = getattr(self, kind)
        unit = "pixels of the photograph" if self.pixels else "shares" if kind != "mask" else "positions"
        if kind != "mask":
            return {kind: [float(n) for n in given], "unit": unit}
        return {kind: mask_digest(given, _mask(given)), "unit": unit}


def mask_digest(given: Any, inside: Mask) -> Mapping[str, Any]:
    """Return what tells a mask from others, and its file where it has one."""
    digest = hashlib.sha256(np.packbits(inside).tobytes()).hexdigest()
    name = {"file": os.fspath(given)} if isinstance(given, str | os.PathLike) else {}
    return {**name, "size": list(inside.shape), "sha256": digest}


@dataclass(frozen=True)
class At:
    """A region on the positions of an output: how much each counts, [H, W], together 1."""

    target: int | str
    weights: Doubles
    about: Mapping[str, Any]

    @property
    def where(self) -> str:
        """The place in a few words."""
        if "mask" in self.about:
            return f"in {Path(self.about['mask'].get('file', 'a mask')).name}"
        kind = "point" if "point" in self.about else "box"
        return f"{'at' if kind == 'point' else 'in'} {told(self.about[kind], self.about['unit'])}"


def told(place: Sequence[float], unit: str) -> str:
    """Return a point or a box for readers: to a tenth of a pixel, or to a thousandth of the picture."""
    return ", ".join(f"{round(n, 1 if unit.startswith('pixels') else 3):g}" for n in place)


def region_in(text: str, labels: Labels | None) -> Region | str:
    """Return the region that text means: ``LABEL@X,Y``, ``LABEL@LEFT,TOP,RIGHT,BOTTOM`` in pixels of the photograph,
    ``LABEL@Z,Y,X`` or six such numbers in voxels, or ``LABEL@FILE``, a mask of its size; other text as it is.

    Raises: UsageError: behind the sign stands no place.
    """
    name, sign, place = text.rpartition("@")
    if not sign or (labels is not None and text.strip() in labels.names):
        return text
    name, place = name.strip(), place.strip()
    if not name:
        raise UsageError(f"{text!r} names no class in front of the @, as in 'cat@120,80'")
    if Path(place).suffix.lower() in _MASKS:
        return Region(name, mask=place, pixels=True)
    if place == "input":
        raise UsageError(
            f"{text!r}: a region that is fed is for compiled files, of one class: target='cat@input' or 'input@input'"
        )
    try:
        numbers = [float(part) for part in place.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) in (2, 3):
        return Region(name, point=tuple(numbers), pixels=True)
    if len(numbers) in (4, 6):
        return Region(name, box=tuple(numbers), pixels=True)
    raise UsageError(
        f"{text!r}: behind the @ stands a point X,Y or a box LEFT,TOP,RIGHT,BOTTOM in pixels of the photograph, "
        f"of a volume Z,Y,X or six such numbers in voxels, or a mask's file ({', '.join(_MASKS)})"
    )


def _file(mask: Any) -> str:
    return f" {os.fspath(mask)!r}" if isinstance(mask, str | os.PathLike) else ""


def _are_numbers(given: Any, count: int) -> bool:
    try:
        numbers = [float(n) for n in given]
    except (TypeError, ValueError):
        return False
    return len(numbers) == count and all(map(math.isfinite, numbers))


def _mask(given: Any) -> Mask:
    if isinstance(given, str | os.PathLike):
        from onnxsal.modalities.image.masks import read_mask

        return read_mask(given)
    found = np.asarray(given)
    if found.ndim != 2 or found.dtype.kind not in "biuf":
        raise UsageError(f"a region's mask is an array [H, W] of numbers; got {found.dtype} {list(found.shape)}")
    inside: Mask = found != 0
    return inside


def _mask_of_output(given: Any, grid: Grid, _: Frame) -> Doubles:
    found = _mask(given)
    if found.shape != grid:
        raise UsageError(
            f"a region's mask has the output's height and width {list(grid)}; got {list(found.shape)}. For one of the "
            "photograph's say pixels=True"
        )
    return found.astype(np.float64)


def _mask_of_photo(given: Any, grid: Grid, frame: Frame) -> Doubles:
    found, (width, height) = _mask(given), frame.photo
    if found.shape != (height, width):
        raise NotSeenError(
            f"a region's mask in pixels has the photograph's height and width {[height, width]}; got "
            f"{list(found.shape)}"
        )
    return frame.of_mask(found, grid)


def _box_in_shares(box: Sequence[float], grid: Grid, _: Frame) -> Doubles:
    """Return the positions whose middles are in a box."""
    _check_shares("box", box)
    left, top, right, bottom = box
    y, x = (np.arange(size) + 0.5 for size in grid)
    y, x = y / grid[0], x / grid[1]
    inside = ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))[None]
    return inside.astype(np.float64)


def _box_in_pixels(box: Sequence[float], grid: Grid, frame: Frame) -> Doubles:
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        raise UsageError(f"a region's box is left, top, right, bottom, right of left and below top; got {tuple(box)}")
    width, height = frame.photo
    return frame.of_box((max(left, 0), max(top, 0), min(right, width), min(bottom, height)), grid)


def _point_in_shares(point: Sequence[float], grid: Grid, _: Frame) -> Doubles:
    _check_shares("point", point)
    return _cell(point[0], point[1], grid)


def _point_in_pixels(point: Sequence[float], grid: Grid, frame: Frame) -> Doubles:
    """The position under a point: pixel 0 is everything from 0 to 1."""
    if not (0 <= point[0] <= frame.photo[0] and 0 <= point[1] <= frame.photo[1]):
        return np.zeros(grid)
    found, at = np.zeros(grid), frame.position(point[0], point[1], grid)
    if at is not None:
        found[at] = 1
    return found


def _cell(x: float, y: float, grid: Grid) -> Doubles:
    found = np.zeros(grid)
    # An edge between two positions belongs to the second; 29 / 100 * 100 is not 29, so it is rounded first.
    row, column = math.floor(round(y * grid[0], 9)), math.floor(round(x * grid[1], 9))
    row, column = row - (y == 1), column - (x == 1)
    if 0 <= row < grid[0] and 0 <= column < grid[1]:
        found[row, column] = 1
    return found


def _check_shares(kind: str, numbers: Sequence[float]) -> None:
    if not all(-1e-6 <= n <= 1 + 1e-6 for n in numbers):
        raise UsageError(f"a region's {kind} {_IN_SHARES}; got {tuple(numbers)}")


def _seen_part(frame: Frame) -> str:
    left, top, right, bottom = frame.seen
    return (
        f": of the photograph ({frame.photo[0]} x {frame.photo[1]}) the model sees the columns {left:.4g} to "
        f"{right:.4g} and the rows {top:.4g} to {bottom:.4g}"
    )


_SHARED = {"mask": _mask_of_output, "box": _box_in_shares, "point": _point_in_shares}
_IN_PIXELS = {"mask": _mask_of_photo, "box": _box_in_pixels, "point": _point_in_pixels}
