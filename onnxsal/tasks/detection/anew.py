"""Scores of a part of a candidate: of one that is held, or of the one that is matched anew in every picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.score import Picked
from onnxsal.anatomy.select import (
    ANGLES,
    BOXES,
    CLASS,
    KEYPOINTS,
    MASK,
    MASKS,
    PROTOTYPES,
    TARGET,
    rows_of,
)  # fmt: skip
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.masks import inside_box, write_inside
from onnxsal.tasks.detection.matched import Array, Matched, one_by_one

Values = Mapping[str, ir.Value] | Trace

MATCH = "match"
"""The kind of score that is matched anew in every picture."""

SURE, PLACED = "sure ", "placed "
"""Before it: of a number that says how sure a detector is, and of one that says where something is."""

_NUMBERS = {"box": BOXES, "angle": ANGLES, "keypoint": KEYPOINTS}


@dataclass(frozen=True)
class Parts:
    """A detector's candidates, in a picture of one size (height, width)."""

    of: Candidates
    size: tuple[int, int]

    def scored(self, op: Trace, kind: str, ends: tuple[float, float] | None) -> Picked | None:
        """Return the score of a part of a kind; None of kinds that are columns of numbers."""
        if kind == "mask":
            return self._mask(op)
        if not kind.endswith(f" {MATCH}"):
            return None
        if kind == f"mask {MATCH}":
            return self._mask_anew(op, ends)
        return self._number_anew(op, kind, ends)

    def _mask(self, op: Trace) -> Picked:
        """Return the mean of a candidate's mask's logits, ``sal/target`` int64 [B], over a region, ``sal/mask``."""
        row = op.input(TARGET, ir.DataType.INT64, rows_of(op))
        region = op.Unsqueeze(op.Flatten(self._region(op), axis=1), [2])
        value = op.MatMul(self._row(op, op, row), op.MatMul(_flat(op, op), region))
        return Picked(op.Squeeze(value, [1, 2]), None, (MASKS, PROTOTYPES), one_by_one(_mean))

    def _region(self, op: Trace) -> ir.Value:
        assert self.of.masks is not None
        return op.input(MASK, ir.DataType.FLOAT, [*rows_of(op), *self.of.masks.grid])

    def _row(self, op: Tape, values: Values, row: ir.Value) -> ir.Value:
        """Return the coefficients of a candidate, [B, 1, M], of its row [B]."""
        assert self.of.masks is not None
        channels = self.of.masks.coefficients.channels
        rows = op.Reshape(values[MASKS], [0, -1, channels])
        place = op.Add(op.Unsqueeze(row, [1, 2]), op.const(np.zeros((1, 1, channels), np.int64)))
        return op.GatherElements(rows, place, axis=1)

    def _number_anew(self, op: Trace, kind: str, ends: tuple[float, float] | None) -> Picked:
        """Return a number, ``sal/target`` int64 [B] of any candidate, of the one that is matched; how sure it is times
        the match itself."""
        prefix, name = (SURE if kind.startswith(SURE) else PLACED), kind.split()[1]
        target = op.input(TARGET, ir.DataType.INT64, rows_of(op))
        found = Matched.written(op, self.of, op.input(CLASS, ir.DataType.INT64, rows_of(op)))
        channels = self._channels(name)
        column = op.Add(op.Mul(found.row, channels), op.Mod(target, channels))
        numbers = _with_none(op, op[_NUMBERS[name]], channels)
        value = op.Squeeze(op.GatherElements(numbers, op.Unsqueeze(column, [1]), axis=1), [1])
        value = op.Mul(value, found.value) if prefix == SURE else value
        reads = tuple(dict.fromkeys((_NUMBERS[name], *found.reads)))
        pick = partial(_number, self.of, _NUMBERS[name], channels, prefix == SURE)
        return Picked(value, ends, reads, one_by_one(pick))

    def _channels(self, name: str) -> int:
        points = self.of.keypoints
        return {"box": 4, "angle": 1, "keypoint": 0 if points is None else points.rows.channels}[name]

    def _mask_anew(self, op: Trace, ends: tuple[float, float] | None) -> Picked:
        """Return the class's score of the matched candidate times the IoU of its mask with ``sal/mask``."""
        region = op.Greater(self._region(op), 0.0)
        found = Matched.written(op, self.of, op.input(CLASS, ir.DataType.INT64, rows_of(op)))
        mine = self.written_mask(op, op, found.row)
        both, either = (_count(op, join(mine, region)) for join in (op.And, op.Or))
        value = op.Mul(found.score, op.Div(both, op.Max(either, 1.0)))
        reads = tuple(dict.fromkeys((MASKS, PROTOTYPES, BOXES, *found.reads)))
        return Picked(value, ends, reads, one_by_one(partial(_overlap, self)))

    def written_mask(self, op: Tape, values: Values, row: ir.Value) -> ir.Value:
        """Return where a candidate's mask is above 0 in its box, bool [B, h, w], of its row [B]."""
        assert self.of.masks is not None
        height, width = self.of.masks.grid
        logits = op.Reshape(op.MatMul(self._row(op, values, row), _flat(op, values)), [0, height, width])
        sides = op.Add(op.Mul(op.Unsqueeze(row, [1]), 4), op.const(np.arange(4)[None]))
        box = op.GatherElements(values[BOXES], sides, axis=1)
        return op.And(op.Greater(logits, 0.0), write_inside(op, box, (height, width), self.size))


def _flat(op: Tape, values: Values) -> ir.Value:
    """Return the prototypes, [B, M, h w]."""
    return op.Reshape(values[PROTOTYPES], [0, 0, -1])


def _count(op: Tape, inside: ir.Value) -> ir.Value:
    return op.ReduceSum(op.Cast(inside, to=ir.DataType.FLOAT), [1, 2], keepdims=0)


def _with_none(op: Trace, numbers: ir.Value, channels: int) -> ir.Value:
    """Return numbers with 0 behind them for a candidate that is none, which a picture without any is matched with."""
    none = op.const(np.zeros((1, channels), np.float32))
    rows = op.Expand(none, op.Concat(op.Shape(numbers, start=0, end=1), [channels], axis=0))
    return op.Concat(numbers, rows, axis=1)


Feeds = Mapping[str, Array]


def _mean(found: Feeds, feeds: Feeds) -> Array:
    planes, rows = np.asarray(found[PROTOTYPES], np.float32), np.arange(len(feeds[TARGET]))
    own = np.asarray(found[MASKS], np.float32).reshape(len(rows), -1, planes.shape[1])[rows, feeds[TARGET]]
    sums = (planes * np.asarray(feeds[MASK], np.float32)[:, None]).sum((2, 3))
    return np.asarray((own * sums).sum(1), np.float32)


def _number(of: Candidates, source: str, channels: int, sure: bool, found: Feeds, feeds: Feeds) -> Array:
    at, rows = Matched.picked(of, found, feeds, feeds[CLASS]), np.arange(len(feeds[TARGET]))
    numbers = np.asarray(found[source], np.float32).reshape(len(rows), -1, channels)
    numbers = np.concatenate([numbers, np.zeros((len(rows), 1, channels), np.float32)], axis=1)
    values = numbers[rows, at.row, feeds[TARGET].astype(np.int64) % channels]
    return np.asarray(values * at.value if sure else values, np.float32)


def _overlap(parts: Parts, found: Feeds, feeds: Feeds) -> Array:
    assert parts.of.masks is not None
    at, rows = Matched.picked(parts.of, found, feeds, feeds[CLASS]), np.arange(len(found[MASKS]))
    planes = np.asarray(found[PROTOTYPES], np.float32)
    own = np.asarray(found[MASKS], np.float32).reshape(len(rows), -1, planes.shape[1])[rows, at.row]
    boxes = np.asarray(found[BOXES], np.float32).reshape(len(rows), -1, 4)[rows, at.row]
    mine = np.einsum("bm,bmhw->bhw", own, planes, optimize=True) > 0
    mine &= inside_box(boxes, parts.of.masks.grid, parts.size)
    region = np.asarray(feeds[MASK], np.float32) > 0
    shares: Array = at.score * (mine & region).sum((1, 2)) / np.maximum((mine | region).sum((1, 2)), 1)
    return shares
