"""How far boxes overlap, and which of several candidates of one object are left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]


def iou(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> Doubles:
    """Return what boxes have in common over what they cover together, [..., N] of [..., N, 4] and [..., 1, 4].

    Boxes are left, top, right, bottom; those that cover nothing have nothing in common.
    """
    one, two = boxes.astype(np.float64), others.astype(np.float64)
    common = _area(np.maximum(one[..., :2], two[..., :2]), np.minimum(one[..., 2:], two[..., 2:]))
    together = _area(one[..., :2], one[..., 2:]) + _area(two[..., :2], two[..., 2:]) - common
    return np.divide(common, together, out=np.zeros_like(common), where=together > 0)


def _area(first: Doubles, last: Doubles) -> Doubles:
    found: Doubles = (last - first).clip(0, None).prod(axis=-1)
    return found


Overlap = Callable[[NDArray[np.floating], NDArray[np.floating]], Doubles]


def kept(boxes: NDArray[np.floating], classes: Indices, overlap: float, by: Overlap = iou) -> list[int]:
    """Return which boxes are left, best first as they come: one goes where a better one of its class overlaps it.

    Args: overlap: that above which two are one. by: how far boxes overlap.
    """
    left, found = np.arange(len(boxes)), list[int]()
    while len(left):
        best, left = int(left[0]), left[1:]
        found.append(best)
        same = classes[left] == classes[best]
        left = left[~(same & (by(boxes[left], boxes[best][None]) > overlap))]
    return found
