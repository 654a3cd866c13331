"""What a compiled file looks for in each picture: the candidate that it explains, and everything that is detected.

It is what ``Table`` does with numbers, in standard operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.select import BOX, BOXES, CLASS, MASK, MASKS, PROTOTYPES, TARGET
from onnxsal.graph import Tape
from onnxsal.tasks.detection.anew import Parts
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.found import OVERLAP, SAME, Rule
from onnxsal.tasks.detection.matched import overlaps
from onnxsal.tasks.detection.part import Reading
from onnxsal.tasks.task import Sought

INT, FLOAT = ir.DataType.INT64, ir.DataType.FLOAT


@dataclass(frozen=True)
class Seen:
    """The candidates of pictures, in a graph."""

    op: Tape
    of: Candidates
    rule: Rule
    scores: ir.Value
    """[B, N, K], 0 for the class that is no object."""
    boxes: ir.Value
    """[B, N, 4]."""
    kinds: ir.Value
    """The best class of each, int64 [B, N]."""
    numbers: Mapping[str, ir.Value]
    """By kind, [B, N x K] and so on."""

    @classmethod
    def of_numbers(cls, op: Tape, numbers: Mapping[str, ir.Value], of: Candidates, rule: Rule) -> Seen:
        """Return the candidates that numbers hold, [B, N x K] and so on by kind."""
        scores = op.Reshape(numbers["probability"], [0, -1, of.classes])
        boxes, labels = op.Reshape(numbers["box"], [0, -1, 4]), numbers.get("label")
        if of.count is None:  # there may be none at all, and no operator finds the best of none
            scores, boxes = _with_nobody(op, scores, 0.0), _with_nobody(op, boxes, 0.0)
            labels = None if labels is None else op.Concat(labels, op.const(np.full((1, 1), -1, np.float32)), axis=1)
        if of.background is not None:
            objects = np.ones((1, 1, of.classes), np.float32)
            objects[..., of.background] = 0
            scores = op.Mul(scores, op.const(objects))
        kinds = op.ArgMax(scores, axis=2, keepdims=0) if labels is None else op.Cast(op.Round(labels), to=INT)
        return cls(op, of, rule, scores, boxes, kinds, numbers)

    @property
    def best(self) -> ir.Value:
        """The score of each candidate's best class, [B, N]."""
        return self.op.ReduceMax(self.scores, [2], keepdims=0)

    def of_kind(self, kind: ir.Value, *, best: bool) -> ir.Value:
        """Return each candidate's score of a class, [B, N] of int64 [B]; 0 of a class that there is not.

        Args: best: 0 where its best class is another one, unless a candidate may be of several.
        """
        op, column = self.op, self.op.Unsqueeze(kind, [1])
        same = op.Equal(self.kinds, column)
        if self.of.labels is not None:
            return op.Where(same, self.best, 0.0)
        last = self.of.classes - 1
        place = op.Unsqueeze(op.Min(op.Max(column, op.const([0], INT)), op.const([last], INT)), [2])
        rows = op.Concat(op.Shape(self.scores, start=0, end=2), [1], axis=0)
        own = op.Squeeze(op.GatherElements(self.scores, op.Expand(place, rows), axis=2), [2])
        known = op.And(op.GreaterOrEqual(column, op.const(0, INT)), op.LessOrEqual(column, op.const(last, INT)))
        return op.Where(op.And(same, known) if best and not self.rule.several else known, own, 0.0)

    def sought(
        self, kind: ir.Value | None, box: ir.Value | None, size: tuple[int, int], *, anew: bool,
        part: Reading | None = None, number: int | None = None,
    ) -> Sought:  # fmt: skip
        """Return the candidate that is explained of each picture, or a part of it: the best detection, that of a class,
        that of a number, or the one that matches a box of a class best.

        Args: kind: int64 [B]. box: [B, 4]. size: of a picture, (height, width). anew: whether the score is matched anew
        in every picture.
        """
        op = self.op
        if number is not None or (box is None and kind is not None and self.rule.together):
            row, kind, seen = self._numbered(number or 1, kind)
            own = self.of_kind(kind, best=False)
        elif box is None:
            values = self.best if kind is None else self.of_kind(kind, best=True)
            own, row = values, op.ArgMax(values, axis=1, keepdims=0)
            seen = op.Greater(op.ReduceMax(values, [1], keepdims=0), float(self.rule.threshold))
        else:
            assert kind is not None
            own = self.of_kind(kind, best=False)
            row, seen = self._at(own, box, size)
        place = op.Unsqueeze(row, [1])
        sides = op.Add(op.Mul(place, op.const(4, INT)), op.const(np.arange(4)[None]))
        its_box = op.GatherElements(op.Flatten(self.boxes, axis=1), sides, axis=1)
        index = op.Squeeze(op.GatherElements(self.kinds, place, axis=1), [1]) if kind is None else kind
        score = op.GatherElements(own, place, axis=1)
        told = [its_box, score, op.Cast(op.Unsqueeze(index, [1]), to=FLOAT)]
        explained = op.Where(op.Unsqueeze(seen, [1]), op.Concat(*told, axis=1), float("nan"))
        column = row if self.of.labels is not None else op.Add(op.Mul(row, op.const(self.of.classes, INT)), index)
        target = index if anew and self.of.labels is not None else op.Max(column, op.const(0, INT))
        aim = self._aim(row, its_box if box is None else box, asked=box is not None)
        more = {} if part is None else self._part(part, Parts(self.of, size), row)
        feeds = {TARGET: target, BOX: aim, CLASS: index, **more}
        return Sought(feeds, seen, {"explained": explained}, op.Squeeze(score, [1]))

    def _numbered(self, number: int, kind: ir.Value | None) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Return row and class of the detection of a number in each picture, among those of a class, int64 [B], where
        there is one; and whether it is there: [B] each."""
        op = self.op
        chosen = op.Concat(self.chosen, op.const([[-1, 0, 0]], INT), axis=0)  # there may be none at all
        count = op.Squeeze(op.Shape(self.scores, start=0, end=1), [0])
        pictures = op.Unsqueeze(op.Range(op.const(0, INT), count, op.const(1, INT)), [1])
        its_picture, its_kind = (op.Transpose(op.Gather(chosen, op.const([at], INT), axis=1)) for at in (0, 1))
        same = op.Equal(its_picture, pictures)
        same = same if kind is None else op.And(same, op.Equal(its_kind, op.Unsqueeze(kind, [1])))
        mine = op.Cast(same, to=FLOAT)
        is_it = op.Mul(mine, op.Cast(op.Equal(op.CumSum(mine, op.const(1, INT)), float(number)), to=FLOAT))
        found = op.Gather(chosen, op.ArgMax(is_it, axis=1, keepdims=0), axis=0)
        kind, row = (op.Squeeze(op.Gather(found, op.const([at], INT), axis=1), [1]) for at in (1, 2))
        return row, kind, op.Greater(op.ReduceMax(is_it, [1], keepdims=0), 0.0)

    def _aim(self, row: ir.Value, box: ir.Value, *, asked: bool) -> ir.Value:
        """Return the box that candidates are matched with: five numbers where they are turned."""
        op = self.op
        if self.of.turned is None:
            return box
        if asked:
            first, last = op.Slice(box, [0], [2], [1]), op.Slice(box, [2], [4], [1])
            upright = op.Mul(op.Slice(box, [0], [1], [1]), 0.0)
            return op.Concat(op.Mul(op.Add(first, last), 0.5), op.Sub(last, first), upright, axis=1)
        place = op.Unsqueeze(row, [1])
        sides = op.Add(op.Mul(place, op.const(4, INT)), op.const(np.arange(4)[None]))
        angle = op.GatherElements(self.numbers["angle"], place, axis=1)
        return op.Concat(op.GatherElements(self.numbers["oriented"], sides, axis=1), angle, axis=1)

    def _part(self, reading: Reading, parts: Parts, row: ir.Value) -> dict[str, ir.Value]:
        """Return what is fed of a part of a candidate in place of its column: the part's own, and the share of each
        position in its mask. Args: row: int64 [B]."""
        op, numbers = self.op, self.numbers
        if reading.kind != "mask":
            return {TARGET: op.Add(op.Mul(row, op.const(reading.channels, INT)), op.const(reading.offset, INT))}
        values = {BOXES: numbers["box"], MASKS: numbers["mask"], PROTOTYPES: numbers["prototype"]}
        inside = op.Cast(parts.written_mask(op, values, row), to=FLOAT)
        return {TARGET: row, MASK: op.Div(inside, op.Max(op.ReduceSum(inside, [1, 2], keepdims=1), 1.0))}

    def _at(self, own: ir.Value, box: ir.Value, size: tuple[int, int]) -> tuple[ir.Value, ir.Value]:
        op = self.op
        common = overlaps(op, self.boxes, op.Unsqueeze(box, [1]))
        near = [op.Cast(op.GreaterOrEqual(common, share), to=FLOAT) for share in (OVERLAP, SAME)]
        row = op.ArgMax(op.Sum(op.Mul(common, own), *near), axis=1, keepdims=0)
        met = op.Greater(op.ReduceMax(op.Mul(common, own), [1], keepdims=0), 0.0)
        return row, op.And(met, self._on_picture(box, size))

    def _on_picture(self, box: ir.Value, size: tuple[int, int]) -> ir.Value:
        """Return whether boxes are some, and partly on the picture: what NaN is compared with is false."""
        op, (height, width) = self.op, size
        sides = [op.Squeeze(op.Slice(box, [at], [at + 1], [1]), [1]) for at in range(4)]
        found = op.And(op.Less(sides[0], sides[2]), op.Less(sides[1], sides[3]))
        for at, end in ((0, width), (1, height)):
            found = op.And(found, op.And(op.Less(sides[at], float(end)), op.Greater(sides[at + 2], 0.0)))
        return op.And(found, op.Less(op.ReduceMax(op.Abs(box), [1], keepdims=0), float("inf")))

    def detections(self) -> ir.Value:
        """Return what is detected, best first: picture, left, top, right, bottom, score and class, [D, 7]."""
        op, chosen = self.op, self.chosen
        score = op.Unsqueeze(op.GatherND(self.by_class, chosen), [1])
        box = op.GatherND(self.boxes, op.Gather(chosen, op.const([0, 2], INT), axis=1))
        ends = [op.Cast(op.Gather(chosen, op.const([at], INT), axis=1), to=FLOAT) for at in (0, 1)]
        return op.Concat(ends[0], box, score, ends[1], axis=1)

    @cached_property
    def chosen(self) -> ir.Value:
        """Picture, class and candidate of what is detected, best first, int64 [D, 3]."""
        op, by_class = self.op, self.by_class
        if self.rule.overlap is None:
            chosen = op.Transpose(op.NonZero(op.Greater(by_class, float(self.rule.threshold))), perm=[1, 0])
        else:
            limits = [op.const([float(n)], FLOAT) for n in (self.rule.overlap, self.rule.threshold)]
            count = op.Shape(by_class, start=2, end=3)
            scores = op.Unsqueeze(self.best, [1]) if self.rule.together else by_class
            chosen = op.NonMaxSuppression(self.boxes, scores, count, *limits)
            chosen = self._with_kinds(chosen) if self.rule.together else chosen
        chosen = self._by_candidate(chosen, by_class)
        score = op.GatherND(by_class, chosen)
        _, order = op.emit("TopK", score, op.Shape(score), outputs=2, axis=0)
        return op.Gather(chosen, order, axis=0)

    def _with_kinds(self, chosen: ir.Value) -> ir.Value:
        """Return picture, class and candidate, [D, 3], of candidates whatever their class."""
        op = self.op
        picture, row = (op.Gather(chosen, op.const([at], INT), axis=1) for at in (0, 2))
        kind = op.Unsqueeze(op.GatherND(self.kinds, op.Concat(picture, row, axis=1)), [1])
        return op.Concat(picture, kind, row, axis=1)

    def _by_candidate(self, chosen: ir.Value, by_class: ir.Value) -> ir.Value:
        """Return picture, class and candidate, [D, 3], by candidate: of equal scores the first one's comes first."""
        op = self.op
        kind, row = (op.Squeeze(op.Gather(chosen, op.const([at], INT), axis=1), [1]) for at in (1, 2))
        key = op.Add(op.Mul(row, op.Shape(by_class, start=1, end=2)), kind)
        _, order = op.emit("TopK", key, op.Shape(key), outputs=2, axis=0, largest=0)
        return op.Gather(chosen, order, axis=0)

    @cached_property
    def by_class(self) -> ir.Value:
        """Scores [B, K, N], 0 where a candidate is of another class."""
        op = self.op
        if self.rule.several and self.of.labels is None:
            return op.Transpose(self.scores, perm=[0, 2, 1])
        if self.of.labels is None:
            classes = op.const(np.arange(self.of.classes)[None, :, None])
        else:
            last = op.Max(op.ReduceMax(self.kinds, keepdims=0), op.const(0, INT))
            classes = op.Unsqueeze(op.Range(op.const(0, INT), op.Add(last, op.const(1, INT)), op.const(1, INT)), [0, 2])
        return op.Where(op.Equal(op.Unsqueeze(self.kinds, [1]), classes), op.Unsqueeze(self.best, [1]), 0.0)


def _with_nobody(op: Tape, rows: ir.Value, value: float) -> ir.Value:
    """Return rows [B, N, K] with one more behind, of a value."""
    shape = op.Concat(op.Shape(rows, start=0, end=1), [1], op.Shape(rows, start=2, end=3), axis=0)
    return op.Concat(rows, op.Expand(value, shape), axis=1)
