"""Masks that a method declares, in standard operators: the few numbers that make them lie in the file, not they."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.graph import Tape
from onnxsal.records import Boxes, CoarseMasks

Size = tuple[int, int]


def box_masks(op: Tape, boxes: Boxes, size: Size, numbers: ir.Value) -> ir.Value:
    """Return masks number [r], float32 [r, 1, H, W]; twin of ``Boxes.make``."""
    every = boxes.bounds(np.arange(boxes.count), size).reshape(boxes.count, 4)
    bounds = op.Unsqueeze(op.Gather(op.const(every), numbers), [2, 3])
    top, bottom, left, right = (op.Slice(bounds, [i], [i + 1], [1]) for i in range(4))
    rows = op.const(np.arange(size[0]).reshape(1, 1, -1, 1))
    columns = op.const(np.arange(size[1]).reshape(1, 1, 1, -1))
    across = op.And(op.GreaterOrEqual(columns, left), op.Less(columns, right))
    within = op.And(op.And(op.GreaterOrEqual(rows, top), op.Less(rows, bottom)), across)
    pair = [op.const(np.float32(value)) for value in (boxes.inside, boxes.outside)]
    return op.Where(within, *pair)


def coarse_masks(op: Tape, masks: CoarseMasks, size: Size, numbers: ir.Value, seed: int) -> ir.Value:
    """Return masks number [r] of a seed, float32 [r, 1, H, W]; twin of ``CoarseMasks.make``, in float64 as that is."""
    cells, shifts = masks.draw(seed, 0, masks.count, size)
    own = op.Cast(op.Gather(op.const(cells), numbers), to=ir.DataType.DOUBLE)
    first = op.Gather(op.const(shifts), numbers)
    down, across = (_window(op, table, op.Slice(first, [axis], [axis + 1], [1]), size[axis])
                    for axis, table in enumerate(masks.enlarging(size)))  # fmt: skip
    wide = op.MatMul(op.MatMul(down, own), op.Transpose(across, perm=[0, 2, 1]))
    return op.Unsqueeze(op.Cast(wide, to=ir.DataType.FLOAT), [1])


def _window(op: Tape, table: np.ndarray, first: ir.Value, length: int) -> ir.Value:
    """Return the rows of a table from ``first`` [r, 1] on, [r, length, cells]."""
    places = op.Add(first, op.const(np.arange(length)[None]))
    return op.Gather(op.const(table), places, axis=0)
