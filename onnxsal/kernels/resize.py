"""Bilinear resizing with half-pixel centres, in numpy: the exact twin of the fused upsampling."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.kernels.formulas import lerp


class Taps(NamedTuple):
    """For each output position the two source positions it lies between and its share of the second."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: NDArray[np.float32]


@lru_cache(maxsize=64)  # a batch of masks asks for the same two again
def taps(source: int, target: int) -> Taps:
    """Return the taps that stretch ``source`` samples to ``target``: half-pixel centres, clamped at the edges.

    They are shared: do not write into them.
    """
    if source < 1 or target < 1:
        raise UsageError(f"cannot resize {source} samples to {target}: both must be at least 1")
    centre = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    low = np.floor(centre).astype(np.int64)
    return Taps(low, np.minimum(low + 1, source - 1), (centre - low).astype(np.float32))


def bilinear(maps: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return ``maps`` resized to ``size``, float32 ``[..., H, W]``.

    Half-pixel centres, clamped edges, no antialiasing: PyTorch's ``align_corners=False``, ONNX Resize's default.

    Args:
        maps: ``[..., h, w]``, taken as float32.
        size: ``(H, W)``.
    """
    maps = np.asarray(maps, np.float32)
    down, across = taps(maps.shape[-2], size[0]), taps(maps.shape[-1], size[1])
    wide = lerp(maps[..., across.low], maps[..., across.high], across.share)
    stretched: NDArray[np.float32] = lerp(wide[..., down.low, :], wide[..., down.high, :], down.share[:, None])
    return stretched
