"""Masks that a method declares, in standard operators: the few numbers that make them lie in the file, not they."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.folding import philox
from onnxsal.graph import Tape
from onnxsal.records import Boxes, CoarseMasks

Size = tuple[int, ...]


def row_masks(op: Tape, masks: Boxes | CoarseMasks, numbers: ir.Value, length: ir.Value, how: Drawn) -> ir.Value:
    """Return masks number [r] along a row of any length ([1]), float32 [r, 1, T]."""
    if isinstance(masks, Boxes):
        return _row_boxes(op, masks, numbers, length)
    return _row_cells(op, masks, numbers, length, how)


@dataclass(frozen=True)
class Drawn:
    """How cells along a row are drawn: of which seed, and how many at most, where there is one a position."""

    seed: int | ir.Value
    most: int | None = None


def _row_boxes(op: Tape, boxes: Boxes, numbers: ir.Value, length: ir.Value) -> ir.Value:
    assert boxes.steps is not None
    side, step = boxes.steps
    first = op.Unsqueeze(op.Add(op.Mul(numbers, step), (step - side) // 2), [1, 2])
    places = _places(op, length)
    within = op.And(op.GreaterOrEqual(places, first), op.Less(places, op.Add(first, side)))
    return op.Where(within, *[op.const(np.float32(value)) for value in (boxes.inside, boxes.outside)])


def _row_cells(op: Tape, masks: CoarseMasks, numbers: ir.Value, length: ir.Value, how: Drawn) -> ir.Value:
    """A row of as many cells as positions is these; else each begins somewhere in the first of cells of ``per``."""
    assert masks.row is not None
    most = how.most or masks.cells
    g = op.const([most]) if how.most is None else op.Min(op.Max(length, op.const([_FEWEST])), op.const([most]))
    per = op.Div(op.Sub(op.Add(length, g), 1), g)
    cells, words = _row_drawn(op, masks, numbers, how.seed, most)
    shift = op.Div(op.Mul(words, per), 1 << 32)  # as numpy draws below a bound
    places = op.Add(op.Unsqueeze(shift, [1]), op.Unsqueeze(op.Range(*_span(op, length)), [0]))
    real = op.Cast(places, to=ir.DataType.DOUBLE)
    wide, many = (op.Cast(v, to=ir.DataType.DOUBLE) for v in (op.Mul(op.Add(g, 1), per), g))
    centre = op.Sub(op.Div(op.Mul(op.Add(real, 0.5), many), wide), 0.5)
    centre = op.Max(op.Min(centre, op.Sub(many, 1.0)), op.const(0.0, ir.DataType.DOUBLE))
    centre = op.Unsqueeze(op.Where(op.Equal(length, g), real, centre), [2])
    each = op.Cast(op.Range(*_span(op, g)), to=ir.DataType.DOUBLE)
    window = op.Relu(op.Sub(1.0, op.Abs(op.Sub(centre, each))))
    own = op.Slice(cells, [0], g, [1])
    found = op.MatMul(window, op.Unsqueeze(op.Cast(own, to=ir.DataType.DOUBLE), [2]))
    return op.Cast(op.Transpose(found, perm=[0, 2, 1]), to=ir.DataType.FLOAT)


def _row_drawn(
    op: Tape, masks: CoarseMasks, numbers: ir.Value, seed: int | ir.Value, most: int
) -> tuple[ir.Value, ir.Value]:
    """Return the cells [r, most] of masks along a row, and words of 32 bits, int64 [r]."""
    assert masks.row is not None
    if isinstance(seed, int):
        cells, words = masks.row(seed, most)
        return op.Gather(op.const(cells), numbers), op.Gather(op.const(words), numbers)
    assert masks.drawn is not None
    return philox.cells_and_words(op, seed, numbers, masks.drawn((most,)).chance, most)


_FEWEST = 2
"""Cells that a row has at least."""


def _places(op: Tape, length: ir.Value) -> ir.Value:
    return op.Unsqueeze(op.Range(*_span(op, length)), [0, 1])


def _span(op: Tape, length: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    return op.const(0, ir.DataType.INT64), op.Squeeze(length, [0]), op.const(1, ir.DataType.INT64)


def box_masks(op: Tape, boxes: Boxes, size: Size, numbers: ir.Value) -> ir.Value:
    """Return masks number [r], float32 [r, 1, *S]; twin of ``Boxes.make``."""
    rank = len(size)
    every = boxes.bounds(np.arange(boxes.count), size).reshape(boxes.count, 2 * rank)
    bounds = op.Unsqueeze(op.Gather(op.const(every), numbers), list(range(2, 2 + rank)))
    within: ir.Value | None = None
    for axis, n in enumerate(size):
        first, end = (op.Slice(bounds, [i], [i + 1], [1]) for i in (2 * axis, 2 * axis + 1))
        places = op.const(np.arange(n).reshape([1, 1, *(-1 if i == axis else 1 for i in range(rank))]))
        along = op.And(op.GreaterOrEqual(places, first), op.Less(places, end))
        within = along if within is None else op.And(within, along)
    assert within is not None
    pair = [op.const(np.float32(value)) for value in (boxes.inside, boxes.outside)]
    return op.Where(within, *pair)


def coarse_masks(op: Tape, masks: CoarseMasks, size: Size, numbers: ir.Value, seed: int | ir.Value) -> ir.Value:
    """Return masks number [r] of a seed, float32 [r, 1, *S]; twin of ``CoarseMasks.make``, in float64 as that is."""
    cells, first, shape = _cells(op, masks, size, numbers, seed)
    wide, tables = op.Cast(cells, to=ir.DataType.DOUBLE), masks.enlarging(size)
    for axis, (table, n) in enumerate(zip(tables, size, strict=True)):
        window = _window(op, table, op.Slice(first, [axis], [axis + 1], [1]), n)
        wide = _along(op, wide, window, (math.prod(size[:axis]), math.prod(shape[axis + 1 :])))
    whole = op.Concat(op.Shape(numbers), [1, *size], axis=0)
    return op.Cast(op.Reshape(wide, whole), to=ir.DataType.FLOAT)


def _cells(
    op: Tape, masks: CoarseMasks, size: Size, numbers: ir.Value, seed: int | ir.Value
) -> tuple[ir.Value, ir.Value, tuple[int, ...]]:
    """Return cells [r, ...] of masks, where these begin, [r, rank], and the shape of one mask's cells."""
    if isinstance(seed, int):
        cells, shifts = masks.draw(seed, 0, masks.count, size)
        return op.Gather(op.const(cells), numbers), op.Gather(op.const(shifts), numbers), cells.shape[1:]
    assert masks.drawn is not None
    drawn = masks.drawn(size)
    return *philox.cells_and_shifts(op, seed, numbers, drawn), drawn.shape


def _along(op: Tape, values: ir.Value, window: ir.Value, sides: tuple[int, int]) -> ir.Value:
    """Return masks with one axis of cells enlarged, [r, before, length, behind].

    Args: sides: how many numbers there are in front of the axis, and behind.
    """
    before, behind = sides
    return op.MatMul(op.Unsqueeze(window, [1]), op.Reshape(values, [0, before, -1, behind]))


def _window(op: Tape, table: np.ndarray, first: ir.Value, length: int) -> ir.Value:
    """Return the rows of a table from ``first`` [r, 1] on, [r, length, cells]."""
    places = op.Add(first, op.const(np.arange(length)[None]))
    return op.Gather(op.const(table), places, axis=0)
