"""The best candidate of each picture, inside a compiled file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.select import BOX, TARGET
from onnxsal.errors import UsageError
from onnxsal.graph import Tape
from onnxsal.tasks.detection.candidates import Candidates


def best_of(op: Tape, numbers: Mapping[str, ir.Value], found: Candidates, kind: ir.Value | None) -> dict[str, ir.Value]:
    """Return the column of the best candidate of each picture, int64 [B], and its box, [B, 4].

    Args: numbers: [B, N] by kind. kind: the class of which it is the best, int64 [B]; None for any.
    Raises: UsageError: the file picks its boxes itself.
    """
    if found.labels is not None:
        raise UsageError("a file that picks its boxes itself is compiled with a label at a box, and --score match")
    objects = np.ones((1, 1, found.classes), np.float32)
    if found.background is not None:
        objects[..., found.background] = 0
    scores = op.Mul(op.Reshape(numbers["probability"], [0, -1, found.classes]), op.const(objects))
    if kind is None:
        column = op.ArgMax(op.Flatten(scores, axis=1), axis=1, keepdims=0)
    else:
        rows = op.Concat(op.Shape(scores, start=0, end=2), [1], axis=0)
        own = op.GatherElements(scores, op.Expand(op.Unsqueeze(kind, [1, 2]), rows), axis=2)
        column = op.Add(op.Mul(op.ArgMax(op.Squeeze(own, [2]), axis=1, keepdims=0), found.classes), kind)
    sides = op.Add(op.Mul(op.Unsqueeze(op.Div(column, found.classes), [1]), 4), op.const(np.arange(4)[None]))
    return {TARGET: column, BOX: op.GatherElements(numbers["box"], sides, axis=1)}
