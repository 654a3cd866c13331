"""How far boxes overlap, and which of several candidates of one object are left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


Outline = Sequence[tuple[float, float]]
"""x and y of the corners of a convex polygon, one after the other round it, whichever way."""


def common_area(one: Outline, other: Outline) -> float:
    """Return the area that two convex polygons have in common.

    Source: Sutherland and Hodgman 1974, doi:10.1145/360767.360802: one is cut along each side of the other.
    """
    left = np.asarray(one, np.float64)
    around = np.asarray(other, np.float64)
    around = around if _turning(around) > 0 else around[::-1]
    for start, end in zip(around, np.roll(around, -1, axis=0), strict=True):
        left = _cut(left, start, end)
    return abs(_turning(left))


def area_of(outline: Outline) -> float:
    """Return the area of a polygon."""
    return abs(_turning(np.asarray(outline, np.float64)))


def _turning(points: Doubles) -> float:
    """Return the area of a polygon, below 0 where its corners go round from y to x."""
    after = np.roll(points, -1, axis=0)
    return float((points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]).sum() / 2)


def _cut(points: Doubles, start: Doubles, end: Doubles) -> Doubles:
    """Return what of a polygon lies on the inner side of a line, with the places where it crosses that."""
    way = end - start
    beyond = way[0] * (points[:, 1] - start[1]) - way[1] * (points[:, 0] - start[0])
    kept = list[Doubles]()
    for at, far in enumerate(beyond):
        after = (at + 1) % len(points)
        if far >= 0:
            kept.append(points[at])
        if (far >= 0) != (beyond[after] >= 0):
            kept.append(points[at] + (points[after] - points[at]) * (far / (far - beyond[after])))
    return np.array(kept).reshape(-1, 2)


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
