"""Arrays in the types that maps are kept in, and how far off they are then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError

Floats = NDArray[np.float32]

_LEVELS = 255


@dataclass(frozen=True)
class Packed:
    """Flat numbers, each of which stands for ``offset + scale * number``."""

    numbers: NDArray[Any]
    scale: float = 1.0
    offset: float = 0.0

    def unpacked(self, shape: tuple[int, ...]) -> Floats:
        """Return the array, float32 of that shape; from float32 bit for bit what was packed."""
        if self.numbers.dtype == np.float32:
            return np.array(self.numbers, np.float32).reshape(shape)
        exact = self.offset + self.scale * self.numbers.astype(np.float64)
        return exact.astype(np.float32).reshape(shape)

    @property
    def error(self) -> float:
        """How far a finite number may be off: 0 in float32, 1/2048 of the map's range in float16, 1/510 in uint8."""
        if self.numbers.dtype == np.float32:
            return 0.0
        # Half of the last place below 1, which is the scale; float32 rounds what is read once more.
        step = self.scale / 2 if self.numbers.dtype == np.uint8 else self.scale * 2.0**-12
        ends = (0, _LEVELS) if self.numbers.dtype == np.uint8 else (-1, 1)
        return step + max(abs(self.offset + self.scale * end) for end in ends) * 2.0**-24


def packed(values: NDArray[Any], dtype: str, *, from_zero: bool = False) -> Packed:
    """Return an array in a type of ``DTYPES``, flat.

    float16: a power of two is the scale, so that neither large nor small maps leave its range; what lies all on one
    side of 0 is counted from its end there. uint8: 256 even steps from the lowest number to the highest.

    Args: from_zero: whether float16 counts from 0 all the same.
    Raises: UsageError: uint8 cannot hold NaN or infinity.
    """
    flat = np.array(values, np.float32).reshape(-1)  # a copy: it may be written later than it is changed
    if dtype == "float32":
        return Packed(flat)
    finite = _finite(flat)
    low, high = float(finite.min(initial=math.inf)), float(finite.max(initial=-math.inf))
    if dtype == "uint8":
        if finite.size != flat.size:
            raise UsageError("uint8 holds no NaN nor infinity: keep this map as float16 or float32")
        return _in_steps(flat, low, high)
    offset = 0.0 if from_zero or low <= 0 <= high or not finite.size else low if low > 0 else high
    scale = _power(max(abs(low - offset), abs(high - offset))) if finite.size else 0.0
    if finite.size < flat.size:
        scale = scale or 1.0  # 0 times infinity is none
    return Packed(((flat.astype(np.float64) - offset) / (scale or 1.0)).astype(np.float16), scale, offset)


def _in_steps(flat: Floats, low: float, high: float) -> Packed:
    step = (high - low) / _LEVELS if flat.size else 0.0
    codes = np.rint((flat.astype(np.float64) - low) / (step or 1.0))
    return Packed(codes.astype(np.uint8), step, low if flat.size else 0.0)


def _power(largest: float) -> float:
    """Return the power of two above a number, 0 for 0."""
    return math.ldexp(1.0, math.frexp(largest)[1]) if largest else 0.0


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = values[np.isfinite(values)]
    return found
