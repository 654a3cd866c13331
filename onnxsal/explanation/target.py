"""Targets: what a score is asked of, from an index, a label, a pair, nothing at all, or a program."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import Score, X
from onnxsal.errors import UsageError
from onnxsal.graph import Program
from onnxsal.model import Model
from onnxsal.tasks.target import Target, difference, one

Floats = NDArray[np.float32]
One = int | str
TargetSource = One | tuple[One, One] | Program | None


def resolve_target(model: Model, target: TargetSource, probabilities: Floats) -> Target:
    """Return what ``target`` means for a model; None is the class of highest probability.

    Raises: UsageError: an index out of range, a label that is unknown or ambiguous.
    """
    if isinstance(target, Program):
        return _program(target)
    if target is None:
        best = int(np.argmax(probabilities))
        return one(best, model.label(best))
    if isinstance(target, tuple):
        if len(target) != 2:
            raise UsageError(f"a pair of targets (a, b) means a minus b; got {len(target)} of them")
        a, b = (_index(model, each) for each in target)
        return difference((a, b), (model.label(a), model.label(b)))
    try:
        index = _index(model, target)
    except UsageError as error:
        raise UsageError(f"{error}{_as_pair(target)}") from None
    return one(index, model.label(index))


def _as_pair(target: Any) -> str:
    """What to write for "A minus B", which is how the command line and manifests write a pair."""
    first, minus, second = target.partition(" minus ") if isinstance(target, str) else ("", "", "")
    return f"; for one class minus another give the pair {(first.strip(), second.strip())!r}" if minus else ""


def _program(target: Program) -> Target:
    if "score" not in target.outputs:
        raise UsageError(f"a target program has an output 'score' [B]; this one has {', '.join(target.outputs)}")
    if set(target.inputs) != {X}:
        raise UsageError(f"a target program takes {X!r} alone; this one takes {', '.join(target.inputs)}")
    return Target(None, "program", target if isinstance(target, Score) else Score(target.model))


def _index(model: Model, target: Any) -> int:
    classes = model.task.classes
    if isinstance(target, SupportsIndex) and not isinstance(target, bool):
        index = int(target.__index__())
    elif (
        isinstance(target, str)
        and target.strip().lstrip("-").isdigit()
        and (model.labels is None or target.strip() not in model.labels.names)
    ):
        index = int(target)
    elif isinstance(target, str):
        return _by_label(model, target)
    else:
        raise UsageError(f"a target is an index, a label, a pair, None or a Program; got {type(target).__name__}")
    if not 0 <= index < classes:
        raise UsageError(f"target {index} is out of range: the model has the classes 0 to {classes - 1}")
    return index


def _by_label(model: Model, text: str) -> int:
    if model.labels is None:
        raise UsageError(f"target {text!r} is a label, and the model has none: give an index, or labels with --labels")
    return model.labels.find(text)
