"""Operators that pick or place single elements by constant indices: done once on the elements' numbers, to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.axes import Axis, moved, name_of, side_of, unknown
from onnxsal.anatomy.known import Found, Layouts, Sizes
from onnxsal.graph import attributes
from onnxsal.kernels.placement import Side, chained, oriented, part

Numbers = NDArray[np.int64]

MOST = 1 << 22
"""Elements; larger values are not followed."""


@dataclass(frozen=True)
class _Source:
    """An operand: what its axes hold, its sizes, and the number of its first element."""

    axes: tuple[Axis, ...]
    sizes: Sizes
    first: int


def elements_gathered(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """GatherElements and GatherND."""
    source, indices = _source(node.inputs[0], 0, known), _indices(node)
    if source is None or indices is None:
        return None
    numbers, how = _numbered(source), attributes(node)
    if node.op_type == "GatherElements":
        places = _along(indices, how.get("axis", 0))
    elif how.get("batch_dims", 0):
        return None
    else:
        places = tuple(np.moveaxis(indices, -1, 0))
    return _read([source], numbers[places], sizes) if places is not None and _fit(places, numbers) else None


def scattered(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """ScatterElements and ScatterND: what is placed into an operand, and what of that is left."""
    data = _source(node.inputs[0], 0, known)
    placed = _source(node.inputs[2], 0 if data is None else int(np.prod(data.sizes)), known)
    indices, how = _indices(node), attributes(node)
    if data is None or placed is None or indices is None or how.get("reduction", "none") != "none":
        return _as_it_was(data, sizes)
    numbers, along = _numbered(data), node.op_type == "ScatterElements"
    places = _along(indices, how.get("axis", 0)) if along else tuple(np.moveaxis(indices, -1, 0))
    if places is None or not _fit(places, numbers) or numbers[places].shape != tuple(placed.sizes):
        return _as_it_was(data, sizes)
    numbers[places] = _numbered(placed)
    return _read([data, placed], numbers, sizes)


def _along(indices: NDArray[Any], axis: int) -> tuple[NDArray[Any], ...] | None:
    """Return the places of an operator on elements: their own in ``indices``, but along the axis; None: it is none."""
    places: list[NDArray[Any]] = list(np.indices(indices.shape, sparse=True))
    if not -len(places) <= axis < len(places):
        return None
    places[axis] = indices
    return tuple(places)


def _fit(places: tuple[NDArray[Any], ...], numbers: Numbers) -> bool:
    """Return whether all places are in a value: of a batch that is tried, indices of the file's own may not be."""
    return len(places) <= numbers.ndim and all(
        not len(place.ravel()) or (-size <= place.min() and place.max() < size)
        for place, size in zip(places, numbers.shape, strict=False)
    )


def _as_it_was(data: _Source | None, sizes: Sizes) -> Found:
    """By indices that are data only parts of a value change; what it held before is not known to be left."""
    return None if data is None else tuple(unknown(size) for size in sizes)


def _source(value: ir.Value | None, first: int, known: Layouts) -> _Source | None:
    axes, sizes = known.axes(value), None if value is None else known.sizes(value)
    if axes is None or sizes is None or np.prod(sizes) > MOST:
        return None
    return _Source(axes, sizes, first)


def _indices(node: ir.Node) -> NDArray[Any] | None:
    value = node.inputs[1]
    tensor = None if value is None else value.const_value
    return None if tensor is None else tensor.numpy()


def _numbered(source: _Source) -> Numbers:
    """Return the number of every element, -1 where nothing of the picture is."""
    count = int(np.prod(source.sizes))
    if not any(name_of(axis) in ("H", "W") for axis in source.axes):
        return np.full(source.sizes, -1, np.int64)
    return (np.arange(count) + source.first).reshape(source.sizes)


def _read(sources: Sequence[_Source], numbers: Numbers, sizes: Sizes) -> Found:
    """Return what the axes of a result hold whose elements are those of its sources."""
    if numbers.shape != tuple(sizes):
        return None
    found: list[Axis] = [unknown(size) for size in sizes]
    for name in ("B", "H", "W"):
        axis = next((a for s in sources for a in s.axes if name_of(a) == name), None)
        cells = None if axis is None else _cells(sources, numbers, name)
        if axis is None or cells is None:
            continue
        at, table = cells
        new = (
            _batch(axis, table)
            if name == "B"
            else moved(axis, sizes[at], chained([(cell, 1) for cell in oriented(table)]))
        )
        found[at] = new
    return tuple(found)


def _batch(axis: Axis, table: Sequence[Side]) -> Axis:
    """Pictures have to stay in their order."""
    size = len(table)
    in_order = all(
        c and (c[0].start, c[0].stop) == (Fraction(i, size), Fraction(i + 1, size)) for i, c in enumerate(table)
    )
    return axis if in_order else unknown(size)


def _cells(sources: Sequence[_Source], numbers: Numbers, name: str) -> tuple[int, list[Side]] | None:
    """Return along which axis an index is counted, and what every step of that axis holds of it."""
    keys, sides = _keys(sources, numbers, name)
    for at in range(keys.ndim):
        rows = np.moveaxis(keys, at, 0).reshape(keys.shape[at], -1)
        highest = rows.max(axis=1, keepdims=True)
        if ((rows == highest) | (rows < 0)).all() and len(np.unique(highest)) > 1:
            return at, [sides[k] if k >= 0 else () for k in highest[:, 0]]
    return None


def _keys(sources: Sequence[_Source], numbers: Numbers, name: str) -> tuple[Numbers, list[Side]]:
    """Return for every element the position of its source along an index, as a key into what that is of the picture."""
    keys = np.full(numbers.shape, -1, np.int64)
    sides: list[Side] = []
    for source in sources:
        where = next((i for i, axis in enumerate(source.axes) if name_of(axis) == name), None)
        count = int(np.prod(source.sizes))
        inside = (numbers >= source.first) & (numbers < source.first + count)
        if where is None or not inside.any():
            continue
        places = np.unravel_index(numbers[inside] - source.first, source.sizes)[where]
        keys[inside] = places + len(sides)
        n, side = source.sizes[where], side_of(source.axes[where])
        sides += [part(side, Fraction(i, n), Fraction(i + 1, n)) for i in range(n)]
    return keys, sides
