"""Counter-based noise: a value depends on (seed, image, draw, element) alone, never on batch, order or threads."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.kernels import formulas

STREAM_BITS = 28  # of the first counter word; what lies above them is the stream, below it the pair of elements


class Stream(IntEnum):
    """What the noise is for: streams of one draw are independent."""

    INPUT = 0
    MASK = 1
    UNIFORM = 2


def word(value: int, name: str) -> np.uint32:
    """Return ``value`` as one 32-bit word of a key or counter.

    Raises:
        UsageError: it does not fit.
    """
    if not 0 <= value < 2**32:
        raise UsageError(f"{name} must be a whole number from 0 to {2**32 - 1}, got {value}")
    return np.uint32(value)


def _counters(size: int, stream: Stream) -> NDArray[np.uint32]:
    if not 0 <= size <= 2 ** (STREAM_BITS + 1):
        raise UsageError(f"noise for {size} elements: a draw has at most {2 ** (STREAM_BITS + 1)}")
    return np.arange((size + 1) // 2, dtype=np.uint32) + np.uint32(stream << STREAM_BITS)


def _words(key: tuple[int, int], draw: int) -> list[NDArray[np.uint32]]:
    # Arrays, because numpy warns of the wrap-around in scalars alone.
    named = ((draw, "draw"), (key[0], "seed"), (key[1], "image"))
    return [np.full(1, word(value, name)) for value, name in named]


def _interleave(first: NDArray[np.float32], second: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return np.stack([first, second], axis=-1).reshape(-1)[:size]


def normal(seed: int, image: int, draw: int, size: int, *, stream: Stream = Stream.INPUT) -> NDArray[np.float32]:
    """Return ``size`` independent standard normal values, float32 ``[size]``, |n| < 6.77.

    Elements 2i and 2i + 1 are the cosine and sine half of counter i, so a shorter draw is the start of a longer one.

    Source: Threefry-2x32-20 (Salmon et al. 2011) with key (seed, image) and counter (stream, element // 2; draw),
    transformed by Box and Muller 1958.
    """
    first, second = formulas.normals(_counters(size, stream), *_words((seed, image), draw))
    return _interleave(first, second, size)


def uniform(seed: int, image: int, draw: int, size: int, *, stream: Stream = Stream.UNIFORM) -> NDArray[np.float32]:
    """Return ``size`` independent multiples of 2^-24 in [0, 1), float32 ``[size]``; counters as in ``normal``."""
    first, second = formulas.threefry(_counters(size, stream), *_words((seed, image), draw))
    return _interleave(formulas.unit(first), formulas.unit(second), size)
