"""Mean pictures: what is taken off a photograph pixel by pixel, from the ``.npy`` file that a preprocessing names."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError, one_line
from onnxsal.modalities.finite import check_finite
from onnxsal.modalities.npy import UNREADABLE, is_npy, read_file

Floats = NDArray[np.float32]

_INSIDE = "npy"
"""The key under which JSON has the file itself, as base64."""


@dataclass(frozen=True)
class MeanImage:
    """A mean picture: the numbers [H, W], [C, H, W] or [H, W, C] of its file; equal to any other of the same numbers.

    Channels are in the model's order, and numbers of the kind that scaled pixels are.
    """

    array: Floats = field(compare=False, repr=False)
    name: str = field(default="", compare=False)
    """Of its file; empty where it is an array."""
    digest: str = ""

    @classmethod
    def of(cls, given: NDArray[Any], name: str, where: str) -> MeanImage:
        """Return an array as a mean picture. Raises: UsageError: it is none, or not finite."""
        array = given[0] if given.ndim == 4 and len(given) == 1 else given
        if array.ndim not in (2, 3) or array.dtype.kind not in "biuf" or not array.size:
            raise UsageError(
                f"{where}: a mean picture is [C, H, W], [H, W, C] or [H, W] of numbers; {name or 'the array'} is "
                f"{given.dtype} {list(given.shape)}"
            )
        found = np.array(array, np.float32, order="C")
        check_finite(found, f"{where}: the mean picture {name or 'that is given'}", batch=False)
        digest = hashlib.sha256(repr(found.shape).encode() + found.tobytes()).hexdigest()
        return cls(found, name, digest)

    def planes(self, channels: int) -> Floats | None:
        """Return the picture as [C, H, W], or [1, H, W] for all channels; None where it has another number of them."""
        if self.array.ndim == 2:
            return self.array[None]
        if self.array.shape[0] in (1, channels):
            return self.array
        return np.moveaxis(self.array, 2, 0) if self.array.shape[2] in (1, channels) else None

    def averaged(self, channels: int) -> MeanImage:
        """Return the picture of one channel that is the mean of all."""
        planes = self.planes(channels)
        assert planes is not None
        return MeanImage.of(planes.mean(axis=0, dtype=np.float64)[None], self.name, self.name)

    def less(self, offset: float) -> MeanImage:
        """Return the picture with a number taken off."""
        return MeanImage.of(self.array - np.float32(offset), self.name, self.name)

    @property
    def inside(self) -> dict[str, str]:
        """The file itself, as JSON holds it."""
        file = io.BytesIO()
        np.save(file, self.array)
        return {_INSIDE: base64.b64encode(file.getvalue()).decode()}

    @property
    def told(self) -> dict[str, Any]:
        """What names it for certain, as a manifest tells it."""
        named = {"file": self.name} if self.name else {}
        return {**named, "shape": list(self.array.shape), "sha256": self.digest}


def is_mean_image(given: Any) -> bool:
    """Return whether what stands for a mean is a picture, and not one number or one a channel."""
    inside = isinstance(given, Mapping) and _INSIDE in given
    return isinstance(given, MeanImage) or is_npy(given) or inside or np.ndim(_array(given)) > 1


def mean_image(given: Any, where: str, folder: Path) -> MeanImage:
    """Return a mean picture: an ``.npy`` file's, named from ``folder`` on, what JSON has inside, or an array.

    Raises: ImageError: the file cannot be read. UsageError: it is no picture.
    """
    if isinstance(given, MeanImage):
        return given
    if isinstance(given, str | os.PathLike):
        return MeanImage.of(read_file(folder / given, f"{where}, mean"), Path(given).name, where)
    if isinstance(given, Mapping):
        return MeanImage.of(_decoded(given[_INSIDE], where), "", where)
    return MeanImage.of(np.asarray(given), "", where)


def _array(given: Any) -> Any:
    return given if isinstance(given, np.ndarray) else None


def _decoded(text: Any, where: str) -> NDArray[Any]:
    try:
        return np.asarray(np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False))
    except UNREADABLE as error:
        raise UsageError(f"{where}: mean holds no .npy file in base64: {one_line(error)}") from None
