"""The score that is matched anew in every picture: the highest IoU with a box times the score of a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.score import Picked
from onnxsal.anatomy.select import (
    ANGLES,
    BOX,
    BOXES,
    CLASS,
    LABELS,
    MASK,
    ORIENTED,
    PROBABILITIES,
    TARGET,
    rows_of,
)  # fmt: skip
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.oriented import overlap, write_overlap
from onnxsal.tasks.detection.overlap import iou

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]


def match(op: Trace, of: Candidates, ends: tuple[float, float] | None) -> Picked:
    """Return the score of a class at a box, ``sal/box`` float32 [B, 4]: max over candidates of IoU times score, float32
    [B]. The class is that of any column of the scores, ``sal/target`` int64 [B]; the class itself where each candidate
    has one. Turned boxes are [B, 5], and overlap as ``oriented.overlap`` has it.

    Source: Petsiuk et al. 2021, arXiv:2006.03204, eq. 1. Deviation: the class's own score in place of the cosine of
    class vectors times objectness, as xaitk-saliency and others have it for detectors without these.
    """
    target = op.input(TARGET, ir.DataType.INT64, rows_of(op))
    found = Matched.written(op, of, op.Mod(target, of.classes) if of.labels is None else target)
    pick = partial(_best, of.classes) if of.turned is None else one_by_one(partial(_value, of))
    return Picked(found.value, ends, found.reads, pick)


@dataclass(frozen=True)
class Matched:
    """The candidate that a box of a class is matched with in each picture: its row, the score of the class, and that
    times the IoU, [B] each; where a picture has no candidate a row behind all, and 0."""

    row: ir.Value
    value: ir.Value
    score: ir.Value
    reads: tuple[str, ...]

    @classmethod
    def written(cls, op: Trace, of: Candidates, kind: ir.Value) -> Matched:
        """Return it as a graph has it. Args: kind: the class, int64 [B]."""
        box = op.input(BOX, ir.DataType.FLOAT, [*rows_of(op), numbers_of_box(of)])
        own = _own(op, of, kind)
        none = op.Expand(0.0, op.Concat(op.Shape(own, start=0, end=1), [1], axis=0))
        values = op.Concat(op.Mul(_overlap_with(op, of, op.Unsqueeze(box, [1])), own), none, axis=1)
        row = op.ArgMax(values, axis=1, keepdims=0)
        score = op.GatherElements(op.Concat(own, none, axis=1), op.Unsqueeze(row, [1]), axis=1)
        return cls(row, op.ReduceMax(values, [1], keepdims=0), op.Squeeze(score, [1]), _reads(of))

    @classmethod
    def picked(cls, of: Candidates, found: Arrays, feeds: Arrays, kind: Array) -> PickedMatch:
        """Return the same of numbers that were computed already. Args: kind: the class, [B]."""
        boxes = _boxes(of, found)
        own = _own_of(of, found, kind, boxes.shape[:2])
        box = np.asarray(feeds[BOX], np.float32)[:, None]
        shares = iou(boxes, box) if of.turned is None else overlap(boxes, box)
        none = np.zeros((len(own), 1))
        values, scores = (np.concatenate([each, none], axis=1) for each in (shares * own, own))
        row, at = values.argmax(axis=1), np.arange(len(values))
        return PickedMatch(row, values[at, row].astype(np.float32), scores[at, row].astype(np.float32))


@dataclass(frozen=True)
class PickedMatch:
    """What ``Matched`` is, in numbers."""

    row: NDArray[np.int64]
    value: NDArray[np.float32]
    score: NDArray[np.float32]


def numbers_of_box(of: Candidates) -> int:
    """Return how many numbers a box has that candidates are matched with: five where it is turned."""
    return 4 if of.turned is None else 5


def one_by_one(pick: Callable[[Arrays, Arrays], Array]) -> Callable[[Arrays, Arrays], NDArray[np.float32]]:
    """Return what picks the scores of several targets, whose feeds have an axis for them behind the batch's."""

    def several(found: Arrays, feeds: Arrays) -> NDArray[np.float32]:
        own = {name: feeds[name] for name in (TARGET, CLASS, BOX, MASK) if name in feeds}
        shape = own[CLASS if CLASS in own else TARGET].shape
        if len(shape) == 1:
            return np.asarray(pick(found, own), np.float32)
        each = [pick(found, {name: value[:, t] for name, value in own.items()}) for t in range(shape[1])]
        return np.stack(each, axis=1).astype(np.float32)

    return several


def _value(of: Candidates, found: Arrays, feeds: Arrays) -> Array:
    target = feeds[TARGET].astype(np.int64)
    return Matched.picked(of, found, feeds, target % of.classes if of.labels is None else target).value


def _reads(of: Candidates) -> tuple[str, ...]:
    turned = (ORIENTED, ANGLES) if of.turned is not None else (BOXES,)
    return (PROBABILITIES, *turned, *((LABELS,) if of.labels is not None else ()))


def _own(op: Trace, of: Candidates, kind: ir.Value) -> ir.Value:
    """Return the scores of a class, [B, N]."""
    scores = op.Reshape(op[PROBABILITIES], [0, -1, of.classes])
    if of.labels is None:
        place = op.Expand(op.Unsqueeze(kind, [1, 2]), op.Concat(op.Shape(scores, start=0, end=2), [1], axis=0))
        return op.Squeeze(op.GatherElements(scores, place, axis=2), [2])
    numbers = op.Cast(op.Round(op[LABELS]), to=ir.DataType.INT64)
    same = op.Cast(op.Equal(numbers, op.Unsqueeze(kind, [1])), to=ir.DataType.FLOAT)
    return op.Mul(op.Squeeze(scores, [2]), same)


def _own_of(of: Candidates, found: Arrays, kind: Array, shape: tuple[int, int]) -> NDArray[np.float32]:
    scores = np.asarray(found[PROBABILITIES], np.float32).reshape(*shape, of.classes)
    if of.labels is None:
        own: NDArray[np.float32] = scores[np.arange(len(scores)), :, kind.astype(np.int64)]
        return own
    return np.asarray(scores[:, :, 0] * (np.rint(np.asarray(found[LABELS], np.float32)) == kind[:, None]), np.float32)


def _boxes(of: Candidates, found: Arrays) -> NDArray[np.float32]:
    if of.turned is None:
        return np.asarray(found[BOXES], np.float32).reshape(len(found[BOXES]), -1, 4)
    angle = np.asarray(found[ANGLES], np.float32)[..., None]
    return np.concatenate([np.asarray(found[ORIENTED], np.float32).reshape(*angle.shape[:2], 4), angle], axis=2)


def _overlap_with(op: Trace, of: Candidates, box: ir.Value) -> ir.Value:
    if of.turned is None:
        return overlaps(op, op.Reshape(op[BOXES], [0, -1, 4]), box)
    rows = op.Concat(op.Reshape(op[ORIENTED], [0, -1, 4]), op.Unsqueeze(op[ANGLES], [2]), axis=2)
    return write_overlap(op, rows, box)


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


def _best(classes: int, found: Arrays, feeds: Arrays) -> NDArray[np.float32]:
    """Return the value of upright boxes, [B], or [B, T] of several targets."""
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
