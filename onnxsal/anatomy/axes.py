"""What an axis of a value holds: rows and columns of the picture, patches in a row, or parts of those.

An axis is a row of atoms, outermost first. A Reshape cuts and joins atoms, a Transpose moves them: so a picture cut
into windows and put together again is the same picture, and nothing has to know what a window is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from onnxsal.kernels.placement import WHOLE, WHOLE_IMAGE, ZERO, Placement, Side, alike, mirrored, part, without_copies


@dataclass(frozen=True)
class Index:
    """What positions are counted: ``B`` images, ``H`` rows, ``W`` columns, ``T`` patches with others beside them."""

    name: str
    total: int
    grid: tuple[int, int] = (0, 0)
    """Rows and columns of the patches of a ``T``."""
    dropped: int = 0
    """Tokens in front of them (class token, registers)."""
    place: Placement = WHOLE_IMAGE
    """Where they lie in the picture; of ``H`` its rows alone are meant, of ``W`` its columns."""
    slack: Fraction = field(default=ZERO, compare=False)
    """How far they may lie from there: windows without padding take off margins that are not followed."""


@dataclass(frozen=True)
class Atom:
    """``extent`` steps of ``stride`` positions each; ``index`` is None where nothing is known about them."""

    index: Index | None
    stride: int
    extent: int


Axis = tuple[Atom, ...]


def unknown(size: int) -> Axis:
    """Return an axis of which only the size is known."""
    return () if size == 1 else (Atom(None, 1, size),)


def whole(name: str, size: int, side: Side = WHOLE, slack: Fraction = ZERO) -> Axis:
    """Return an axis that holds all of an index, ``B``, ``H`` or ``W``, and lies on this side of the picture."""
    place = Placement(columns=side) if name == "W" else Placement(rows=side)
    return () if size == 1 else (Atom(Index(name, size, place=place, slack=slack), 1, size),)


def side_of(axis: Axis) -> Side:
    """Return where an axis named ``H`` or ``W`` lies."""
    index = axis[0].index
    assert index is not None
    return index.place.columns if index.name == "W" else index.place.rows


def slack_of(axis: Axis) -> Fraction:
    """Return how far the positions of an axis may lie from where they are drawn."""
    return max((a.index.slack for a in axis if a.index is not None), default=ZERO)


def marked(index: Index | None, size: int) -> Axis:
    """Return an axis of which only the size is known, with an index to follow it by where there is one."""
    return unknown(size) if index is None else (Atom(index, 1, size),)


def size_of(axis: Axis) -> int:
    """Return the number of positions along an axis."""
    return math.prod(atom.extent for atom in axis)


def patches(grid: tuple[int, int], dropped: int, size: int, place: Placement = WHOLE_IMAGE) -> Axis:
    """Return an axis of tokens: ``dropped`` of them, the patches of a grid row by row, and what follows."""
    if dropped == 0 and size == grid[0] * grid[1]:
        return whole("H", grid[0], place.rows) + whole("W", grid[1], place.columns)
    return (Atom(Index("T", size, grid, dropped, place), 1, size),)


def is_side(name: str | None) -> bool:
    """Return whether a name is of an axis of positions: ``H``, ``W``, or another letter in front of these."""
    return name is not None and len(name) == 1 and name not in ("B", "T")


def name_of(axis: Axis) -> str | None:
    """Return ``B``, ``H``, ``W`` or ``T`` where an axis holds all of it in order, else None."""
    names = [a.index.name if a.index and a.stride * a.extent == a.index.total else None for a in axis]
    if names == ["H", "W"]:
        return "T"
    return names[0] if len(names) == 1 else None


def tokens_of(axis: Axis) -> tuple[tuple[int, int], int]:
    """Return the grid of an axis named ``T``, and how many tokens stand in front of it."""
    index = axis[0].index
    if len(axis) == 1 and index is not None:
        return index.grid, index.dropped
    return (axis[0].extent, axis[1].extent), 0


def place_of(axis: Axis) -> Placement:
    """Return where the patches of an axis named ``T`` lie."""
    index = axis[0].index
    if len(axis) == 1 and index is not None:
        return index.place
    return Placement(side_of(axis[:1]), side_of(axis[1:]))


def positions(axes: Sequence[Axis]) -> int:
    """Return how many positions of the picture these axes tell apart."""
    count = 1
    for index, extent in ((a.index, a.extent) for axis in axes for a in axis):
        if index is not None and is_side(index.name):
            count *= extent
        elif index is not None and index.name == "T":
            count *= math.prod(index.grid) if extent == index.total else extent
    return count


def joined(axis: Axis) -> Axis:
    """Return the axis with neighbouring parts of one index put together."""
    out: list[Atom] = []
    for atom in axis:
        last = out[-1] if out else None
        if last is not None and last.index == atom.index and last.stride == atom.stride * atom.extent:
            out[-1] = Atom(atom.index, atom.stride, last.extent * atom.extent)
        else:
            out.append(atom)
    return tuple(out)


def regrouped(axes: Sequence[Axis], sizes: Sequence[int]) -> tuple[Axis, ...] | None:
    """Return the axes of a Reshape to ``sizes``; unknown from where cuts fall inside what cannot be cut there."""
    if math.prod(a.extent for axis in axes for a in axis) != math.prod(sizes):
        return None
    left = [a for axis in axes for a in axis]
    return tuple(_take(left, size) for size in sizes)


def _take(left: list[Atom], size: int) -> Axis:
    """Take atoms of ``size`` positions from the front of ``left``."""
    taken: list[Atom] = []
    while size > 1:
        atom = left.pop(0)
        if size % atom.extent == 0:
            taken.append(atom)
            size //= atom.extent
        elif atom.extent % size == 0:
            inner = atom.extent // size
            left.insert(0, Atom(atom.index, atom.stride, inner))
            taken.append(Atom(atom.index, atom.stride * inner, size))
            size = 1
        else:
            return _give_up(left, math.prod(a.extent for a in taken) * size, [*taken, atom])
    return joined(tuple(taken))


def _give_up(left: list[Atom], size: int, taken: list[Atom]) -> Axis:
    """Forget what is left, in order that the sizes still come out."""
    rest = math.prod(a.extent for a in (*taken, *left)) // size
    left[:] = list(unknown(rest))
    return unknown(size)


def common(candidates: Sequence[Axis], size: int) -> Axis:
    """Return what the axes of several operands say of one axis of their result: the most that none contradicts."""
    known = [axis for axis in candidates if math.prod(a.extent for a in axis) == size and any(a.index for a in axis)]
    if not known:
        return unknown(size)
    named = [axis for axis in known if name_of(axis)]
    if len({_meaning(axis) for axis in named}) > 1 or not _in_one_place(named or known):
        return unknown(size)
    return min(named or known, key=lambda axis: any(a.index and not a.index.place.is_whole for a in axis))


def _meaning(axis: Axis) -> object:
    return name_of(axis), tokens_of(axis) if name_of(axis) == "T" else None


MOST = Fraction(1, 8)
"""Of the picture: values that lie further apart are not put together, however coarse their grid."""


def _in_one_place(axes: Sequence[Axis]) -> bool:
    """Whether operands agree where they lie: to a position of theirs, and to what was not followed exactly."""
    places: dict[str, tuple[Index, Fraction]] = {}
    for index, slack in ((a.index, slack_of(axis)) for axis in axes for a in axis if a.index is not None):
        first, least = places.setdefault(index.name, (index, slack))
        step = Fraction(1, max(index.grid) or index.total)
        if not _near(index.place, first.place, min(step, MOST) + max(slack, least)):
            return False
    return True


def _near(a: Placement, b: Placement, tolerance: Fraction) -> bool:
    return alike(a.rows, b.rows, tolerance) and alike(a.columns, b.columns, tolerance)


def cut(axis: Axis, size: int, start: int, step: int, kept: int) -> Axis:
    """Return the axis of every ``step``-th of its ``size`` positions from ``start`` on, ``kept`` of them."""
    name = name_of(axis)
    if name == "T" and step == 1:
        grid, dropped = tokens_of(axis)
        if start <= dropped and start + kept >= dropped + grid[0] * grid[1]:
            return patches(grid, dropped - start, kept, place_of(axis))
    if name == "T" and (step, start, kept) == (-1, size - 1, size):
        return _reversed_tokens(axis, size)
    if name in ("H", "W") and start >= 0 and kept > 0:
        return moved(axis, kept, _every(side_of(axis), size, (start, step), kept))
    return unknown(kept)


def _reversed_tokens(axis: Axis, size: int) -> Axis:
    """Patches read from the last one lie backwards both ways, behind what stood behind them."""
    (grid, dropped), place = tokens_of(axis), place_of(axis)
    turned = Placement(mirrored(place.rows), mirrored(place.columns))
    return patches(grid, size - dropped - grid[0] * grid[1], size, turned)


def moved(axis: Axis, size: int, side: Side | None) -> Axis:
    """Return rows or columns that lie elsewhere now, ``size`` of them; unknown ones where nothing of them is left,
    or the same of the picture twice.
    """
    name = name_of(axis)
    drawn = side and without_copies(side)
    return whole(name, size, side, slack_of(axis)) if name and side and drawn else unknown(size)


def _every(side: Side, size: int, steps: tuple[int, int], kept: int) -> Side:
    """Every n-th position stands for all n; an offset smaller than that is none."""
    start, step = steps
    stride = abs(step)
    first = start if step > 0 else start - (kept - 1) * stride
    low = first // stride * stride
    high = size if first + kept * stride >= size else low + kept * stride
    found = side if (low, high) == (0, size) else part(side, Fraction(low, size), Fraction(high, size))
    return found if step > 0 else mirrored(found)


def stepped(axis: Axis, table: np.ndarray[Any, Any]) -> list[Axis] | None:
    """Return the axes of a table of all positions of one index, each of which it counts in equal steps."""
    steps = [int(table.take(1, i).flat[0] - table.flat[0]) if n > 1 else 0 for i, n in enumerate(table.shape)]
    counted = sum(step * grid for step, grid in zip(steps, np.indices(table.shape), strict=True))
    if len(axis) != 1 or table.size != axis[0].extent or not np.array_equal(counted, table):
        return None
    pairs = zip(steps, table.shape, strict=True)
    return [(Atom(axis[0].index, axis[0].stride * step, n),) if n > 1 else () for step, n in pairs]
