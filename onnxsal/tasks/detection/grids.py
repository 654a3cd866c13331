"""Boxes that a file leaves to others to decode: told from the cells of grids over the picture, level behind level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.graph import Tape


@dataclass(frozen=True)
class Grid:
    """Boxes of YOLOX that its file leaves to others to decode: offsets from cells, and logarithms of sizes in cells."""

    strides: tuple[int, ...]
    """Pixels a cell, level behind level."""

    def cells(self, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Return column, row and stride of every cell of a picture (height, width), [N, 3]."""
        levels = []
        for stride in self.strides:
            y, x = np.indices((size[0] // stride, size[1] // stride)).reshape(2, -1)
            levels.append(np.stack([x, y, np.full_like(x, stride)], axis=1))
        return np.concatenate(levels).astype(np.float32)

    def decoded(self, op: Tape, boxes: ir.Value, size: tuple[int, int]) -> ir.Value:
        """Return middles and sizes in pixels. Source: YOLOX (Ge et al. 2021, arXiv:2107.08430), demo_utils of its
        code."""
        cells = self.cells(size)
        places, strides = op.const(cells[None, :, :2]), op.const(cells[None, :, 2:])
        middles = op.Mul(op.Add(op.Slice(boxes, [0], [2], [2]), places), strides)
        return op.Concat(middles, op.Mul(op.Exp(op.Slice(boxes, [2], [4], [2])), strides), axis=2)
