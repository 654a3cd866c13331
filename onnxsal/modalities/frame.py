"""Where the model's picture lies in a photograph: what is said in pixels of the one is brought into the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

Stretch = tuple[float, float, float, float]
"""The part of an output's axis from ``low`` to ``high``, and where these two lie in the model's picture, all in shares:
the end in front of the start where it is mirrored."""

_EVEN: tuple[Stretch, ...] = ((0.0, 1.0, 0.0, 1.0),)


@dataclass(frozen=True)
class Frame:
    """A photograph's size (width, height), and the box (left, top, width, height) in it that the model's picture is.

    Units: pixels of the photograph. Crops have a smaller box than it, letterboxes a larger one.
    """

    photo: tuple[int, int]
    box: tuple[float, float, float, float]
    rows: tuple[Stretch, ...] = _EVEN
    """Where the rows of an output lie in the model's picture, which a graph may crop, pad or flip before it looks."""
    columns: tuple[Stretch, ...] = _EVEN
    assumed: str = ""
    """Why that is not known, and it is taken to cover the picture evenly; empty where it is."""

    @classmethod
    def whole(cls, size: tuple[int, ...]) -> Frame:
        """Return the frame of a picture (height, width) that the model takes as it is."""
        height, width = size
        return cls((width, height), (0.0, 0.0, float(width), float(height)))

    @property
    def is_even(self) -> bool:
        """Whether the output covers the model's picture evenly, as far as is known."""
        return (self.rows, self.columns) == (_EVEN, _EVEN)

    def shares(self, x: float, y: float) -> tuple[float, float]:
        """Return a place of the photograph in shares of the model's picture: from 0 to 1 is inside."""
        left, top, width, height = self.box
        return (x - left) / width, (y - top) / height

    def position(self, x: float, y: float, grid: tuple[int, int]) -> tuple[int, int] | None:
        """Return the row and column of a grid that lie under a place of the photograph, None where none does."""
        across, down = self.shares(x, y)
        row, column = _under(down, self.rows, grid[0]), _under(across, self.columns, grid[1])
        return None if row is None or column is None else (row, column)

    @property
    def seen(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what an output sees of the photograph, in its pixels."""
        left, top, width, height = self.box
        (low, high), (first, last) = _ends(self.rows), _ends(self.columns)
        edges = left + first * width, top + low * height, left + last * width, top + high * height
        return max(edges[0], 0), max(edges[1], 0), min(edges[2], self.photo[0]), min(edges[3], self.photo[1])

    def of_mask(self, mask: NDArray[np.bool_], grid: tuple[int, int]) -> Doubles:
        """Return how many of a mask's pixels lie on each position of a grid over the model's picture, [rows, columns].

        Pixels on an edge between positions count to each by their parts, those that the model does not see to none.
        """
        left, top, width, height = self.box
        rows = _summed(mask.astype(np.float64), _cells(top, height, self.rows, grid[0]))
        return _summed(rows.T, _cells(left, width, self.columns, grid[1])).T

    def spread(self, grid: tuple[int, ...]) -> list[Doubles]:
        """Return what sums a mask's pixels on the positions of each axis as ``of_mask`` does, [count, pixels] each."""
        left, top, width, height = self.box
        cells = _cells(top, height, self.rows, grid[0]), _cells(left, width, self.columns, grid[1])
        return [_summed(np.eye(pixels), own) for pixels, own in zip(self.photo[::-1], cells, strict=True)]

    def of_box(self, box: tuple[float, float, float, float], grid: tuple[int, int]) -> Doubles:
        """Return how much of a box (left, top, right, bottom) lies on each position, in the photograph's pixels."""
        left, top, width, height = self.box
        down = _common(_cells(top, height, self.rows, grid[0]), (box[1], box[3]))
        across = _common(_cells(left, width, self.columns, grid[1]), (box[0], box[2]))
        return np.outer(down, across)

    def onto(self, mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return positions of an output as pixels of the model's picture (height, width): each as the one under it."""
        height, width = size
        down, across = _owners(self.rows, mask.shape[0], height), _owners(self.columns, mask.shape[1], width)
        found: NDArray[np.bool_] = mask[down[:, None], across[None]] & (down >= 0)[:, None] & (across >= 0)[None]
        return found


@dataclass(frozen=True)
class Voxels:
    """A volume's size (D, H, W), in whose voxels places are said."""

    size: tuple[int, ...]
    assumed: str = ""
    """Why it is not known where an output lies in it, and it is taken to cover it evenly; empty where it is."""
    read: Callable[[str | os.PathLike[str]], NDArray[np.bool_]] | None = None
    """What reads a mask's file that lies as the volume's own file does, [D, H, W]."""

    def of_mask(self, mask: NDArray[np.bool_], grid: tuple[int, ...]) -> Doubles:
        """Return how many of a mask's voxels lie on each position of a grid over the volume."""
        found = mask.astype(np.float64)
        for axis, (size, count) in enumerate(zip(self.size, grid, strict=True)):
            summed = _summed(np.moveaxis(found, axis, 0).reshape(size, -1), _cells(0.0, size, _EVEN, count))
            rest = [n for at, n in enumerate(found.shape) if at != axis]
            found = np.moveaxis(summed.reshape(count, *rest), 0, axis)
        return found

    def spread(self, grid: tuple[int, ...]) -> list[Doubles]:
        """Return what sums a mask's voxels on the positions of each axis, [count, voxels] each."""
        return [
            _summed(np.eye(size), _cells(0.0, size, _EVEN, count)) for size, count in zip(self.size, grid, strict=True)
        ]

    def of_box(self, box: Sequence[float], grid: tuple[int, ...]) -> Doubles:
        """Return how much of a box (the least of each axis, then the greatest) lies on each position."""
        rank = len(self.size)
        sides = [_common(_cells(0.0, size, _EVEN, count), (max(box[axis], 0), min(box[rank + axis], size)))
                 for axis, (size, count) in enumerate(zip(self.size, grid, strict=True))]  # fmt: skip
        found = sides[0]
        for side in sides[1:]:
            found = found[..., None] * side
        return found


@dataclass(frozen=True)
class _Cells:
    """Intervals of a line, [n, 2] from low to high, and whose each is: positions of an axis, of which some are none."""

    ends: Doubles
    owner: NDArray[np.intp]
    count: int


def _cells(start: float, length: float, side: Sequence[Stretch], count: int) -> _Cells:
    """Return where the positions of an axis lie on the line that begins at ``start`` and is so long."""
    if tuple(side) == _EVEN:
        edges = start + np.arange(count + 1) * length / count
        return _Cells(np.stack([edges[:-1], edges[1:]], axis=1), np.arange(count), count)
    ends, owner = list[tuple[float, float]](), list[int]()
    for low, high, first, last in side:
        for cell in range(count):
            a, b = max(cell / count, low), min((cell + 1) / count, high)
            if b > a:
                shares = (first + (e - low) / (high - low) * (last - first) for e in (a, b))
                low_end, high_end = sorted(round(start + share * length, 9) for share in shares)
                ends.append((low_end, high_end))
                owner.append(cell)
    return _Cells(np.array(ends, np.float64).reshape(-1, 2), np.array(owner, np.intp), count)


def _gathered(cells: _Cells, values: Doubles) -> Doubles:
    """Return what belongs to each position, added up."""
    found = np.zeros((cells.count, *values.shape[1:]))
    np.add.at(found, cells.owner, values)
    return found


def _summed(values: Doubles, cells: _Cells) -> Doubles:
    """Return the sums over cells of the first axis, [cells, ...]; parts of a row count by their length."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    edges = cells.ends.clip(0, len(values))
    low = np.minimum(np.floor(edges).astype(np.intp), len(values) - 1)
    part = (edges - low)[..., None]
    upto = sums[low] * (1 - part) + sums[low + 1] * part
    return _gathered(cells, upto[:, 1] - upto[:, 0])


def _common(cells: _Cells, ends: tuple[float, float]) -> Doubles:
    """Return the length that each position has in common with an interval."""
    both = np.minimum(cells.ends[:, 1], ends[1]) - np.maximum(cells.ends[:, 0], ends[0])
    return _gathered(cells, both.clip(0, None))


def _under(share: float, side: Sequence[Stretch], count: int) -> int | None:
    """Return the position that lies under a place of the model's picture, given as its share."""
    for low, high, first, last in side:
        along = (share - first) / (last - first) if last != first else -1.0
        # An edge between two positions belongs to the second; 29 / 100 * 100 is not 29, so it is rounded first.
        if -1e-9 <= along <= 1 + 1e-9:
            place = round((low + along * (high - low)) * count, 9)
            found = int(np.floor(place)) - (place == round(high * count, 9))
            return found if 0 <= found < count else None
    return None


def _owners(side: Sequence[Stretch], count: int, pixels: int) -> NDArray[np.intp]:
    """Return the position under the first edge of each pixel of the model's picture, -1 where none is."""
    if tuple(side) == _EVEN:
        return np.arange(pixels) * count // pixels
    return np.array([-1 if (at := _under((p + 0.5) / pixels, side, count)) is None else at for p in range(pixels)])


def _ends(side: Sequence[Stretch]) -> tuple[float, float]:
    places = [place for *_, first, last in side for place in (first, last)]
    return (min(places), max(places)) if places else (0.0, 0.0)
