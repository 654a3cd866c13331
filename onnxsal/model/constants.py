"""What inputs are held at: arrays, numbers, lists and ``.npy`` files, and whether they fit the input they are for."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.entry import shown
from onnxsal.errors import UsageError
from onnxsal.files import nearest_file
from onnxsal.graph import dims
from onnxsal.modalities.npy import is_npy, read_file

Array = NDArray[Any]

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
"""Suffixes of files that hold pictures."""
_SHORT = 60
"""Characters of numbers that are told in full."""


@dataclass(frozen=True)
class Constant:
    """An array as somebody gave it; equal to any other of the same contents."""

    array: Array = field(compare=False, repr=False)
    said: str = field(compare=False)
    """How it was given: a file's name, the numbers themselves, or the shape and type of an array."""
    digest: str = ""
    rows: tuple[str, ...] = field(default=(), compare=False)
    """What each row is called, where it was words or a picture's file."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What is to be told of how it was read."""

    @classmethod
    def of(cls, thing: Any, name: str) -> Constant:
        """Return what a user gave for the input of that name.

        Raises: UsageError: it is no array, number, list of numbers, or name of an ``.npy`` file. ImageError: the file
        cannot be read.
        """
        if isinstance(thing, Constant):
            return thing
        if isinstance(thing, str | os.PathLike):
            return cls._made(*_written(os.fspath(thing), name))
        try:
            array = np.array(thing)
        except ValueError:  # rows of different lengths
            array = np.array(None)
        if array.dtype.kind not in "bifuUSV" or (array.dtype.kind == "V" and not array.dtype.isbuiltin == 2):
            raise UsageError(f"input {name!r} is held at numbers, an array or an .npy file; got {type(thing).__name__}")
        return cls._made(array, _told(array))

    @classmethod
    def read(cls, array: Array, said: str, rows: tuple[str, ...], notes: tuple[str, ...] = ()) -> Constant:
        """Return what was read from words or pictures; it is another one where its rows are called otherwise."""
        made = cls._made(array, said)
        named = hashlib.sha256("\0".join([made.digest, *rows]).encode()).hexdigest()[:16]
        return cls(made.array, said, named, rows, notes)

    @classmethod
    def _made(cls, array: Array, said: str) -> Constant:
        found = np.array(array, copy=True)
        form = repr((found.dtype.str, found.dtype.name, found.shape)).encode()
        return cls(found, said, hashlib.sha256(form + found.tobytes()).hexdigest()[:16])

    @property
    def told(self) -> str:
        """What a manifest tells of it: the numbers, or what names the file or array for certain."""
        made = form(self.array)
        numbers = self.said != made and not is_npy(self.said) and len(self.said) <= _SHORT
        return self.said if numbers else f"{'' if self.said == made else f'{self.said}, '}{made}, SHA-256 {self.digest}"


def constants(given: Mapping[str, Any]) -> dict[str, Constant]:
    """Return what was given for inputs by their names. Raises: UsageError: it is no mapping, or as ``Constant.of``."""
    if not isinstance(given, Mapping):
        raise UsageError(f"inputs={given!r}: expected a mapping from names of inputs to what they are held at")
    return {str(name): Constant.of(thing, str(name)) for name, thing in given.items()}


def _written(text: str, name: str) -> tuple[Array, str]:
    """What a command line says: numbers as JSON has them, or a file."""
    path = Path(text)
    if not is_npy(path) and not path.is_file():
        try:
            return np.array(json.loads(text, parse_constant=float)), text
        except ValueError:
            pass
    if not path.is_file():
        raise UsageError(f"input {name!r}: {text!r} is neither a file that is there nor numbers{_as_list(text)}"
                         f"{nearest_file(path)}")  # fmt: skip
    if path.suffix.lower() in PICTURES:
        raise UsageError(
            f"input {name!r} is held at numbers, and {path.name!r} is a picture, which it does not take: hold it at an "
            ".npy file of numbers"
        )
    return read_file(path, f"input {name!r}"), path.name


def _as_list(text: str) -> str:
    """Say how several numbers are written, where they are written otherwise."""
    try:
        return f" (a list is written [{text}])" if [float(part) for part in text.replace(",", " ").split()] else ""
    except ValueError:
        return ""


def _told(array: Array) -> str:
    text = json.dumps(array.tolist(), default=str) if array.size <= _SHORT else ""
    return text if text and len(text) <= _SHORT else form(array)


def form(array: Array) -> str:
    """Return the type and shape of an array as messages name them."""
    return f"{array.dtype.name} {list(array.shape)}"


def fitting(constant: Constant, value: ir.Value) -> Array:
    """Return a constant in the type and rank of an input, a missing axis of one in front laid in.

    Raises: UsageError: it is of another type or shape, or holds NaN.
    """
    array = _of_type(constant, value)
    declared = dims(value)
    if declared is None:
        return array
    if array.size == 1 and array.ndim != len(declared) and all(d in (1, None) or isinstance(d, str) for d in declared):
        return array.reshape([1] * len(declared))
    if array.ndim == len(declared) - 1 and not (isinstance(declared[0], int) and declared[0] > 1):
        array = array[None]
    wrong = [isinstance(d, int) and d > 0 and d != n for d, n in zip(declared, array.shape, strict=False)]
    if array.ndim != len(declared) or any(wrong):
        raise _misfit(constant, value)
    return array


def _of_type(constant: Constant, value: ir.Value) -> Array:
    array, dtype = constant.array, value.dtype
    if dtype is None or not isinstance(value.type, ir.TensorType | None) or dtype == ir.DataType.STRING:
        raise UsageError(f"input {value.name!r} is {shown(value)}, which onnxsal holds no value for: only numbers")
    wanted = dtype.numpy()
    if dtype.is_floating_point():
        fits = array.dtype.kind in "biuf" or array.dtype == wanted
    elif dtype == ir.DataType.BOOL:
        fits = array.dtype.kind == "b" or (array.dtype.kind in "iu" and bool(np.isin(array, (0, 1)).all()))
    else:
        fits = array.dtype.kind in "biu" and _within(array, wanted)
    if not fits:
        raise _misfit(constant, value)
    found = array.astype(wanted)
    if dtype.is_floating_point() and bool(np.isnan(found.astype(np.float64)).any()):
        raise UsageError(f"input {value.name!r} is held at {constant.said}, which holds NaN")
    return found


def _within(array: Array, wanted: np.dtype[Any]) -> bool:
    if array.dtype.kind == "b" or not array.size:
        return True
    info = np.iinfo(wanted)
    return bool(info.min <= array.min() and array.max() <= info.max)


def _misfit(constant: Constant, value: ir.Value) -> UsageError:
    given, made = constant.said, form(constant.array)
    return UsageError(
        f"input {value.name!r} takes {shown(value)}; it is held at {given if given == made else f'{given}, {made}'}"
    )
