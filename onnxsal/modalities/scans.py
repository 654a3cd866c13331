"""Scans: NIfTI files read as the arrays that models take, and maps written on the grid of the file they are of."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import EnvironmentSetupError, ImageError, UsageError, one_line
from onnxsal.files import nearest_file, replacing

Array = NDArray[Any]

SUFFIXES = (".nii", ".nii.gz")

_SIDES = ("LR", "PA", "IS")
"""Left and right, posterior and anterior, inferior and superior: the ends of the world's axes, the positive last."""

SHOWN = "IPR"
"""The order and directions in which slices are drawn: up is superior or anterior, right is right."""

ASKED = (
    "say which way its axes go into the model, --preprocess (preprocess=): xyz as the file has them, zyx the other way "
    "round, or three of the letters LRPAIS for the directions in which they rise, such as RAS"
)


@dataclass(frozen=True)
class Turn:
    """Axes in another order, some of them turned round: what lies in front of ``order[i]`` is axis i afterwards."""

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    """Of the axes afterwards."""

    def apply(self, array: Array) -> Array:
        """Return an array [x, y, z, ...] with its first three axes turned; it shares its memory."""
        rest = range(3, array.ndim)
        return array.transpose(*self.order, *rest)[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]

    def undo(self, array: Array) -> Array:
        """Return a turned array as it was."""
        back = array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return back.transpose([self.order.index(axis) for axis in range(3)])

    def before(self, place: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
        """Return where a voxel of the turned array, of that size, lies in the array as it was."""
        back = [n - 1 - at if flip else at for at, n, flip in zip(place, size, self.flips, strict=True)]
        return tuple(back[self.order.index(axis)] for axis in range(3))


@dataclass(frozen=True)
class Axes:
    """Which way the axes of a scan go into a model: as letters of the file's axes, or directions of the body."""

    said: str

    @property
    def name(self) -> str:
        """The letters."""
        return self.said

    def described(self) -> dict[str, str]:
        """Return it as data."""
        return {"axes": self.said}

    def to_json(self, **_: Any) -> str:
        """Return it as JSON."""
        return f'{{"axes": "{self.said}"}}'

    def turn(self, codes: str) -> Turn:
        """Return what brings a file to it whose axes rise in those directions, as ``RAS``."""
        if set(self.said) == set("xyz"):
            first, second, third = ("xyz".index(letter) for letter in self.said)
            return Turn((first, second, third), (False, False, False))
        ends = [next(i for i, code in enumerate(codes) if _side(code) == _side(letter)) for letter in self.said]
        first, second, third = ends
        flips = [codes[end] != letter for end, letter in zip(ends, self.said, strict=True)]
        return Turn((first, second, third), (flips[0], flips[1], flips[2]))


def axes_in(text: Any) -> Axes | None:
    """Return the axes that text names, None where it names none."""
    if not isinstance(text, str):
        return None
    if text.lower() in map("".join, permutations("xyz")):
        return Axes(text.lower())
    letters = text.upper()
    found = len(letters) == 3 and all(letter in "LRPAIS" for letter in letters)
    return Axes(letters) if found and len({_side(letter) for letter in letters}) == 3 else None


def _side(letter: str) -> int:
    return next(i for i, ends in enumerate(_SIDES) if letter in ends)


@dataclass(frozen=True)
class Space:
    """Where the voxels of a file lie, and how they went into a model."""

    path: str
    affine: NDArray[np.float64]
    codes: str
    """The directions in which the file's axes rise."""
    turn: Turn

    @property
    def spacing(self) -> tuple[float, ...]:
        """The size of a voxel along the axes of the file. Units: as the file has it, as a rule millimetres."""
        return tuple(float(n) or 1.0 for n in np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0)))

    def read_mask(self, path: str | os.PathLike[str]) -> NDArray[np.bool_]:
        """Return where a mask on the same grid is above 0, [D, H, W] as the model has its axes.

        Raises: ImageError: it cannot be read, or lies on another grid.
        """
        image, own = _opened(path), _opened(self.path)
        shape, wanted = _spatial(image, path)[:3], _spatial(own, self.path)[:3]
        if shape != wanted or not np.allclose(image.affine, self.affine, atol=1e-3):
            raise ImageError(
                f"the mask {os.fspath(path)!r} lies on another grid than {Path(self.path).name!r}: {list(shape)}, "
                f"{list(wanted)}, or another affine"
            )
        values = np.asarray(image.dataobj).reshape(shape)
        found: NDArray[np.bool_] = self.turn.apply(values > 0)
        return found

    def write(self, path: str | os.PathLike[str], values: NDArray[np.floating]) -> None:
        """Write a map [D, H, W] of the model's voxels as NIfTI, each in the place of the file's own voxel.

        Raises: OutputError: it cannot be written. ImageError: the file that was explained is not there any more.
        """
        source = _opened(self.path)
        header = source.header.copy()
        header.set_data_dtype(np.float32)
        header["cal_min"], header["cal_max"] = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        data = np.ascontiguousarray(self.turn.undo(np.asarray(values, np.float32)))
        content = type(source)(data, self.affine, header).to_bytes()
        with replacing(path) as part:
            part.write_bytes(_packed(content) if os.fspath(path).lower().endswith(".gz") else content)


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=6, mtime=0)  # the same map is the same file


@dataclass(frozen=True)
class Scan:
    """A file's voxels [D, H, W] or [D, H, W, C] in the order of a model, and where they lie."""

    array: Array
    space: Space


def is_scan(thing: Any) -> bool:
    """Return whether a thing names a NIfTI file."""
    return isinstance(thing, str | os.PathLike) and os.fspath(thing).lower().endswith(SUFFIXES)


def scan_shape(path: str | os.PathLike[str], axes: Axes) -> tuple[int, ...]:
    """Return the shape of what ``read_scan`` gives, from the file's header alone. Raises: as that does."""
    image = _opened(path)
    shape = _spatial(image, path)
    turn = axes.turn(_codes(image))
    return (*(shape[axis] for axis in turn.order), *shape[3:])


def read_scan(path: str | os.PathLike[str], axes: Axes) -> Scan:
    """Return a NIfTI file's voxels, by its own scale, as float32.

    Raises: ImageError: it cannot be read, or holds no numbers in three axes. EnvironmentSetupError: no nibabel.
    """
    image = _opened(path)
    shape = _spatial(image, path)
    if image.get_data_dtype().kind not in "fiu":
        raise ImageError(f"the scan {os.fspath(path)!r} holds {image.get_data_dtype()}, and a model takes numbers")
    try:
        values = np.asarray(image.dataobj, np.float32).reshape(shape)
    except (OSError, ValueError, EOFError, zlib.error, ArithmeticError, MemoryError) as error:
        raise ImageError(f"the scan {os.fspath(path)!r} cannot be read: {one_line(error)}") from None
    codes = _codes(image)
    space = Space(os.fspath(path), np.asarray(image.affine, np.float64), codes, axes.turn(codes))
    return Scan(space.turn.apply(values), space)


def _spatial(image: Any, path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Return a file's shape without the axis of time, of one, that stands in front of a fifth one of channels."""
    shape = tuple(int(n) for n in image.shape)
    if len(shape) == 5 and shape[3] == 1:
        shape = (*shape[:3], shape[4])
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise ImageError(
            f"the scan {os.fspath(path)!r} is {list(image.shape)}: a volume has x, y, z, and channels last"
        )
    return shape


def _codes(image: Any) -> str:
    """Return the directions in which a file's axes rise; those that its affine leaves open as if it had none."""
    found = _nibabel().aff2axcodes(image.affine)
    return "RAS" if None in found else "".join(found)


def _opened(path: str | os.PathLike[str]) -> Any:
    if not Path(path).is_file():
        raise ImageError(f"no such file: {os.fspath(path)!r}{nearest_file(Path(path))}")
    tool = _nibabel()
    try:
        return tool.load(path)
    except Exception as error:  # noqa: BLE001 - nibabel's errors over a damaged header have no base of their own
        raise ImageError(f"the scan {os.fspath(path)!r} cannot be read: {one_line(error)}") from None


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise EnvironmentSetupError(
            f"NIfTI files need the package nibabel ({error}): pip install 'onnxsal[medical]'; or hand over an array"
        ) from None
    return nibabel


def shown_turn(space: Space) -> Turn:
    """Return what turns the model's voxels of a file to the way in which slices are drawn."""
    codes = "".join(space.codes[axis] for axis in space.turn.order)
    turned = "".join(_other(code) if flip else code for code, flip in zip(codes, space.turn.flips, strict=True))
    return Axes(SHOWN).turn(turned)


def _other(code: str) -> str:
    return _SIDES[_side(code)].replace(code, "")


def checked_axes(said: Any, where: str = "preprocess") -> Axes:
    """Return the axes that are said, as text or ``{"axes": text}``. Raises: UsageError: it says no such thing."""
    found = axes_in(said.get("axes") if isinstance(said, dict) and set(said) == {"axes"} else said)
    if found is None:
        raise UsageError(
            f"{where}={said!r}: of a volume it says which way the axes of scans go into the model; {ASKED}"
        )
    return found
