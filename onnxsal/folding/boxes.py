"""Masks of fixed places in standard operators: four numbers a mask in the file instead of a picture."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.graph import Tape
from onnxsal.records import Boxes


def box_masks(op: Tape, boxes: Boxes, size: tuple[int, int], numbers: ir.Value) -> ir.Value:
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
