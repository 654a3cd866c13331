"""The score that is matched anew in every picture: the highest IoU with a box times the score of a class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.score import Picked
from onnxsal.anatomy.select import BOX, BOXES, LABELS, PROBABILITIES, TARGET, rows_of
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.tasks.detection.candidates import Candidates

Array = NDArray[np.generic]


def match(op: Trace, of: Candidates, ends: tuple[float, float] | None) -> Picked:
    """Return the score of a class at a box, ``sal/box`` float32 [B, 4]: max over candidates of IoU times score, float32
    [B]. The class is that of any column of the scores, ``sal/target`` int64 [B]; the class itself where each candidate
    has one.

    Source: Petsiuk et al. 2021, arXiv:2006.03204, eq. 1. Deviation: the class's own score in place of the cosine of
    class vectors times objectness, as xaitk-saliency and others have it for detectors without these.
    """
    target = op.input(TARGET, ir.DataType.INT64, rows_of(op))
    box = op.input(BOX, ir.DataType.FLOAT, [*rows_of(op), 4])
    rows = op.Reshape(op[BOXES], [0, -1, 4])
    scores = op.Reshape(op[PROBABILITIES], [0, -1, of.classes])
    if of.labels is None:
        count = op.Shape(rows, start=1, end=2)
        kind = op.Unsqueeze(op.Mod(target, of.classes), [1, 2])
        place = op.Expand(kind, op.Concat(op.Shape(rows, start=0, end=1), count, [1], axis=0))
        own = op.Squeeze(op.GatherElements(scores, place, axis=2), [2])
    else:
        numbers = op.Cast(op.Round(op[LABELS]), to=ir.DataType.INT64)
        same = op.Cast(op.Equal(numbers, op.Unsqueeze(target, [1])), to=ir.DataType.FLOAT)
        own = op.Mul(op.Squeeze(scores, [2]), same)
    values = op.Mul(overlaps(op, rows, op.Unsqueeze(box, [1])), own)
    # A picture without candidates has the score 0.
    none = op.Expand(0.0, op.Concat(op.Shape(rows, start=0, end=1), [1], axis=0))
    value = op.ReduceMax(op.Concat(values, none, axis=1), [1], keepdims=0)
    reads = (PROBABILITIES, BOXES, *((LABELS,) if of.labels is not None else ()))
    return Picked(value, ends, reads, partial(_picked, of.classes))


def overlaps(op: Tape, boxes: ir.Value, box: ir.Value) -> ir.Value:
    """Return the IoU of boxes with one, [B, N] of [B, N, 4] and [B, 1, 4]."""
    low, high = ([op.Slice(v, [a], [b], [2]) for v in (boxes, box)] for a, b in ((0, 2), (2, 4)))
    common = _area(op, op.Max(low[0], low[1]), op.Min(high[0], high[1]))
    areas = [_area(op, a, b) for a, b in zip(low, high, strict=True)]
    together = op.Sub(op.Add(areas[0], areas[1]), common)
    return op.Squeeze(op.Div(common, op.Max(together, 1e-9)), [2])


def _area(op: Tape, first: ir.Value, last: ir.Value) -> ir.Value:
    sides = op.Relu(op.Sub(last, first))
    return op.Mul(op.Slice(sides, [0], [1], [2]), op.Slice(sides, [1], [2], [2]))


def _picked(classes: int, found: Mapping[str, Array], feeds: Mapping[str, Array]) -> NDArray[np.float32]:
    """Return the same of numbers that were computed already: [B], or [B, T] of several targets."""
    from onnxsal.kernels.match import best_match  # numba: only what draws needs it

    target, boxes = feeds[TARGET], np.asarray(found[BOXES], np.float32)
    boxes = boxes.reshape(len(boxes), -1, 4)
    kinds = target.reshape(len(target), -1).astype(np.int64)
    scores = np.asarray(found[PROBABILITIES], np.float32).reshape(*boxes.shape[:2], classes)
    if LABELS in found:
        same = np.rint(np.asarray(found[LABELS], np.float32))[:, :, None] == kinds[:, None]
        scores, columns = np.where(same, scores, np.float32(0)), np.arange(kinds.shape[1])[None].repeat(len(kinds), 0)
    else:
        columns = kinds % classes
    aims = np.asarray(feeds[BOX], np.float32).reshape(*kinds.shape, 4)
    return best_match(boxes, scores, columns, aims).reshape(target.shape)
