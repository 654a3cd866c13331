"""What a file decides by itself: which things are explained, by a number of the prediction beside a limit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import COEFFICIENTS, TARGET
from onnxsal.errors import UsageError, nearest
from onnxsal.graph import Tape
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Task

SCORE, MARGIN = "score", "margin"
Values = Mapping[str, ir.Value]

_WRITTEN = re.compile(r"\s*([\w-]+)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*", re.ASCII)
_OPERATORS = {"<": "Less", "<=": "LessOrEqual", ">": "Greater", ">=": "GreaterOrEqual"}


@dataclass(frozen=True)
class When:
    """A number of the prediction, and on which side of a limit it lies where there is something to explain."""

    name: str
    """``score``, ``margin``, or a kind of the task's numbers."""
    sign: str
    limit: float
    kind: str | None = None
    """Of the numbers that are compared; None where the score is no sum of the task's numbers."""

    def __str__(self) -> str:
        """The condition as it is written, and which number ``score`` and ``margin`` are of."""
        of = "" if self.kind in (None, self.name) else f" ({self.kind})"
        return f"{self.name}{of} {self.sign} {self.limit!r}"

    @property
    def note(self) -> str:
        """What is said of it."""
        return f"a map is made where {self}, of each thing by itself, and is 0 elsewhere"

    def holds(self, op: Tape, number: ir.Value) -> ir.Value:
        """Return where numbers [B] are on that side of the limit, bool [B]; NaN is on none."""
        limit = op.const(np.float64(self.limit), number.dtype or ir.DataType.FLOAT)
        return op.emit(_OPERATORS[self.sign], number, limit)

    def number(self, op: Tape, numbers: Values, targets: Values) -> ir.Value:
        """Return what is compared, [B], of numbers [B, N] by kind and of what says which of them are explained."""
        assert self.kind is not None
        own, columns = numbers[self.kind], targets[TARGET]
        if COEFFICIENTS in targets:
            picked = op.GatherElements(own, columns, axis=1)
            return op.ReduceSum(op.Mul(picked, targets[COEFFICIENTS]), [1], keepdims=0)
        place = op.Unsqueeze(columns, [1])
        score = op.Squeeze(op.GatherElements(own, place, axis=1), [1])
        if self.name != MARGIN:
            return score
        lowest = op.Expand(op.const([[-np.inf]], own.dtype or ir.DataType.FLOAT), op.Shape(place))
        return op.Sub(score, op.ReduceMax(op.ScatterElements(own, place, lowest, axis=1), [1], keepdims=0))


def when_of(text: str, task: Task, fixed: Target | None, kind: str) -> When:
    """Return the condition that a user wrote.

    Args: fixed: the target, where it is none that is fed or predicted. kind: of the numbers that are explained.
    Raises: UsageError: it is none, or not of this model's numbers, or always or never true.
    """
    found = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise UsageError(f"when={text!r}: expected a name, one of < <= > >=, and a number, such as 'score < 0.6'")
    when = When(found[1], found[2], float(found[3]))
    known = _known(task, fixed)
    if when.name not in known:
        names = ", ".join(known)
        raise UsageError(f"when={text!r}: of this model and target there is {names}{nearest(when.name, known)}")
    return _checked(replace(when, kind=_kind(when.name, task, fixed, kind)), text, task, fixed)


def _known(task: Task, fixed: Target | None) -> tuple[str, ...]:
    """Return what there is to compare, by name."""
    if _is_program(fixed) or task.told:
        return (SCORE,)
    kinds = tuple(task.kinds) if fixed is None or fixed.kind is None else (fixed.kind,)
    return (SCORE, *kinds, *((MARGIN,) if _one_of_rivals(task, fixed) else ()))


def _is_program(fixed: Target | None) -> bool:
    return fixed is not None and fixed.program is not None


def _one_of_rivals(task: Task, fixed: Target | None) -> bool:
    """Whether one number is explained, and the others are those of other classes."""
    return task.labelled == task.size > 1 and not _summed(task, fixed)


def _summed(task: Task, fixed: Target | None) -> bool:
    """Whether what is explained is a sum of the task's numbers with coefficients."""
    return task.weighted if fixed is None or fixed.is_open else fixed.weighted


def _kind(name: str, task: Task, fixed: Target | None, kind: str) -> str | None:
    """Return which numbers are compared: ``score`` is, as an Explanation's is, a probability where there is one."""
    if _is_program(fixed) or task.told:
        return None
    if name in task.kinds:
        return name
    return (None if fixed is None else fixed.kind) or ("probability" if "probability" in task.kinds else kind)


def _checked(when: When, text: str, task: Task, fixed: Target | None) -> When:
    """Return the condition, having seen that it can be true and false."""
    if abs(when.limit) > float(np.finfo(np.float32).max):
        raise UsageError(f"when={text!r}: the number is too large to be compared with")
    ends = None if _is_program(fixed) else (0.0, 1.0) if when.kind is None else task.ends(when.kind)
    if ends is None or (when.name != MARGIN and _summed(task, fixed)):
        return when
    low, high = (ends[0] - ends[1], ends[1] - ends[0]) if when.name == MARGIN else ends
    both = low < when.limit <= high if when.sign in ("<", ">=") else low <= when.limit < high
    if not both:
        raise UsageError(f"when={text!r} is the same for all things: {when.name} is from {low:g} to {high:g}")
    return when
