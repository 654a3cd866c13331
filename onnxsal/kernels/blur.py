"""Gaussian blur in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError


def gaussian_weights(kernel: int, sigma: float) -> NDArray[np.float32]:
    """Return ``kernel`` weights of a normal curve with standard deviation ``sigma`` pixels; they add up to 1."""
    if kernel < 1 or kernel % 2 == 0 or not sigma > 0:
        raise UsageError(f"blur: kernel must be odd and sigma positive, got kernel {kernel} and sigma {sigma}")
    weights = np.exp(-0.5 * ((np.arange(kernel) - kernel // 2) / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


def _along(maps: NDArray[np.float32], weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    length, half = maps.shape[axis], len(weights) // 2
    borders = [(0, 0)] * maps.ndim
    borders[axis] = (half, half)
    padded = np.moveaxis(np.pad(maps, borders, mode="reflect"), axis, 0)
    blurred = np.zeros_like(padded[:length])
    for i, weight in enumerate(weights):
        blurred += weight * padded[i : i + length]
    return np.moveaxis(blurred, 0, axis)


def gaussian_blur(maps: NDArray[Any], *, kernel: int = 11, sigma: float = 5.0) -> NDArray[np.float32]:
    """Return ``maps`` blurred along the last two axes, float32 ``[..., H, W]``.

    Borders are reflected without repeating the edge (d c b | a b c d | c b a), as often as a small map needs it.
    The defaults are those of the insertion metric (RISE, arXiv:1806.07421).

    Args:
        maps: ``[..., H, W]``, taken as float32.
        kernel: width in pixels, odd.
        sigma: in pixels.
    """
    weights = gaussian_weights(kernel, sigma)
    maps = np.asarray(maps, np.float32)
    return np.ascontiguousarray(_along(_along(maps, weights, maps.ndim - 2), weights, maps.ndim - 1))
