"""Targets: what a score is asked of; what the model's task takes for one, or a program."""

from __future__ import annotations

from onnxsal.anatomy import Score, X
from onnxsal.errors import UsageError
from onnxsal.graph import Program
from onnxsal.modalities.frame import Frame
from onnxsal.model import Model, Sample
from onnxsal.tasks import Numbers, Target
from onnxsal.tasks.dense import Region

One = int | str | Region
TargetSource = One | tuple[One, One] | Program | None


def resolve_target(model: Model, target: TargetSource, numbers: Numbers, sample: Sample | None = None) -> Target:
    """Return what ``target`` means for a model; None is what it predicts.

    Args: numbers: what the model puts out for the picture (``Model.outputs``); empty where there is none yet.
    sample: that picture; without one a photograph is what the model takes, as in a compiled file.
    Raises: UsageError: an index out of range, a label that is unknown or ambiguous. ImageError: a mask's file.
    """
    if isinstance(target, Program):
        return _program(target)
    return model.task.resolve(model.task.placed(target, _frame(model, sample), model.labels), numbers, model.labels)


def _frame(model: Model, sample: Sample | None) -> Frame | None:
    if sample is not None and sample.seen is not None:
        return sample.seen.frame
    return Frame.whole(model.size) if len(model.size) == 2 else None


def _program(target: Program) -> Target:
    if "score" not in target.outputs:
        raise UsageError(f"a target program has an output 'score' [B]; this one has {', '.join(target.outputs)}")
    if set(target.inputs) != {X}:
        raise UsageError(f"a target program takes {X!r} alone; this one takes {', '.join(target.inputs)}")
    return Target(None, "program", target if isinstance(target, Score) else Score(target.model))
