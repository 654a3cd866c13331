"""Masks that a method declares, in standard operators: the few numbers that make them lie in the file, not they."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from onnxsal.graph import Tape
from onnxsal.records import Boxes, CoarseMasks

Size = tuple[int, ...]


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


def coarse_masks(op: Tape, masks: CoarseMasks, size: Size, numbers: ir.Value, seed: int) -> ir.Value:
    """Return masks number [r] of a seed, float32 [r, 1, *S]; twin of ``CoarseMasks.make``, in float64 as that is."""
    cells, shifts = masks.draw(seed, 0, masks.count, size)
    wide = op.Cast(op.Gather(op.const(cells), numbers), to=ir.DataType.DOUBLE)
    first, tables = op.Gather(op.const(shifts), numbers), masks.enlarging(size)
    for axis, (table, n) in enumerate(zip(tables, size, strict=True)):
        window = _window(op, table, op.Slice(first, [axis], [axis + 1], [1]), n)
        wide = _along(op, wide, window, (math.prod(size[:axis]), math.prod(cells.shape[axis + 2 :])))
    shape = op.Concat(op.Shape(numbers), [1, *size], axis=0)
    return op.Cast(op.Reshape(wide, shape), to=ir.DataType.FLOAT)


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
