"""Targets: what a score is asked of; what the model's task takes for one, or a program."""

from __future__ import annotations

from onnxsal.anatomy import Score, X
from onnxsal.errors import UsageError
from onnxsal.graph import Program
from onnxsal.model import Model
from onnxsal.tasks import Numbers, Target

One = int | str
TargetSource = One | tuple[One, One] | Program | None


def resolve_target(model: Model, target: TargetSource, numbers: Numbers) -> Target:
    """Return what ``target`` means for a model; None is what it predicts.

    Args: numbers: what the model puts out for the picture (``Model.outputs``); empty where there is none yet.
    Raises: UsageError: an index out of range, a label that is unknown or ambiguous.
    """
    return _program(target) if isinstance(target, Program) else model.task.resolve(target, numbers, model.labels)


def _program(target: Program) -> Target:
    if "score" not in target.outputs:
        raise UsageError(f"a target program has an output 'score' [B]; this one has {', '.join(target.outputs)}")
    if set(target.inputs) != {X}:
        raise UsageError(f"a target program takes {X!r} alone; this one takes {', '.join(target.inputs)}")
    return Target(None, "program", target if isinstance(target, Score) else Score(target.model))
