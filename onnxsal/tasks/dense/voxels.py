"""Regions of volumes: a class in a mask, in a box or at a point, in voxels of the model's axes D, H and W."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import NotSeenError, UsageError
from onnxsal.modalities.frame import Voxels
from onnxsal.tasks.dense.region import At, Region, mask_digest

Doubles = NDArray[np.float64]

_SHARES = "is in shares of the volume, from 0 to 1; for voxels say pixels=True"


def placed_in_voxels(region: Region, grid: tuple[int, ...], voxels: Voxels) -> At:
    """Return which positions of an output count, and how much.

    A point is (z, y, x), a box the least of each and then the greatest; voxel 0 is everything from 0 to 1.
    Raises: UsageError: it is no region of a volume, fits none, or holds none. ImageError: its mask cannot be read.
    """
    kind = region.kind(len(grid))
    given = getattr(region, kind)
    if kind == "mask":
        mask = _mask(given, voxels)
        covered, about = _of_mask(mask, given, region, grid, voxels), _about_mask(given, mask)
        unit = "voxels" if region.pixels else "positions"
    else:
        box = _box(kind, given, region, voxels.size)
        covered, about = voxels.of_box(box, grid), {kind: [float(n) for n in given]}
        unit = "voxels" if region.pixels else "shares"
    if not covered.any():
        error = NotSeenError if region.pixels else UsageError
        raise error(f"the region holds no position of the output: the volume is {' x '.join(map(str, voxels.size))}")
    assumed = {"assumed": voxels.assumed} if region.pixels and voxels.assumed else {}
    return At(region.target, covered / covered.sum(), {**about, "unit": unit, **assumed})


def _box(kind: str, given: Sequence[float], region: Region, size: tuple[int, ...]) -> list[float]:
    """Return what is asked for as a box in voxels; a point is the voxel that it lies in."""
    rank, numbers = len(size), [float(n) for n in given]
    if not region.pixels:
        if not all(-1e-6 <= n <= 1 + 1e-6 for n in numbers):
            raise UsageError(f"a region's {kind} {_SHARES}; got {tuple(given)}")
        numbers = [round(n * size[i % rank], 9) for i, n in enumerate(numbers)]
    if kind == "box":
        if any(high <= low for low, high in zip(numbers[:rank], numbers[rank:], strict=True)):
            raise UsageError(
                f"a region's box is the least of z, y, x, then the greatest, each greater; got {tuple(given)}"
            )
        return numbers
    first = [np.floor(n) - (n == side) for n, side in zip(numbers, size, strict=True)]
    return [*first, *(n + 1 for n in first)]


def _mask(given: Any, voxels: Voxels) -> NDArray[np.bool_]:
    if isinstance(given, str | os.PathLike):
        from onnxsal.modalities.npy import is_npy, read_file

        if not is_npy(given):
            if voxels.read is None:
                raise UsageError(f"the mask {os.fspath(given)!r} is a scan's, and what is explained is none: give .npy")
            return voxels.read(given)
        given = read_file(given, "the mask")
    found = np.asarray(given)
    if found.ndim != len(voxels.size) or found.dtype.kind not in "biuf":
        raise UsageError(f"a region's mask is an array [D, H, W] of numbers; got {found.dtype} {list(found.shape)}")
    inside: NDArray[np.bool_] = found != 0
    return inside


def _of_mask(mask: NDArray[np.bool_], given: Any, region: Region, grid: tuple[int, ...], voxels: Voxels) -> Doubles:
    wanted = voxels.size if region.pixels else grid
    if mask.shape != wanted:
        whose = "volume's size" if region.pixels else "output's size"
        raise UsageError(f"a region's mask has the {whose} {list(wanted)}; got {list(mask.shape)}")
    if not mask.any():
        name = f" {os.fspath(given)!r}" if isinstance(given, str | os.PathLike) else ""
        raise UsageError(f"the region's mask{name} is 0 everywhere: it is above 0 on the region")
    return voxels.of_mask(mask, grid) if region.pixels else mask.astype(np.float64)


def _about_mask(given: Any, mask: NDArray[np.bool_]) -> Mapping[str, Any]:
    return {"mask": mask_digest(given, mask)}
