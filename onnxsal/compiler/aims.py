"""What a file explains of each thing where it is told: a class, or with -1 the one that is predicted.

Of a number that no class has the map is NaN, in every runtime: an operator that reads past its end is an error in some,
which of requests in one batch would hit all, and any number in others.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from onnxsal.errors import UsageError
from onnxsal.graph import Tape
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.task import Place, Sought, Task

Values = Mapping[str, ir.Value]


def targets_told(
    op: Tape, task: Task, numbers: Values, given: ir.Value, batch: ir.Value, labels: Labels | None
) -> dict[str, ir.Value]:
    """Return the programs' target inputs of what is told, or of what is predicted where that is -1.

    Args: as of ``Task.targets``. What is ``unknown`` stands for any target: its map is none.
    """
    none = unknown(op, task, numbers, given)
    found = task.targets(op, numbers, given if none is None else op.Where(none, 0, given), batch, labels)
    try:
        predicted = task.targets(op, numbers, None, batch, labels)
    except UsageError:
        return found
    return _or_predicted(op, found, given, predicted)


def targets_there(
    op: Tape, task: Task, numbers: Values, given: ir.Value, place: Place, labels: Labels | None
) -> dict[str, ir.Value]:
    """Return the programs' target inputs of what is told of a region; what is ``unknown`` stands for any target.

    Args: as of ``Task.targets_at``.
    """
    none = unknown(op, task, numbers, given)
    return task.targets_at(op, numbers, given if none is None else op.Where(none, 0, given), place, labels)


def unknown(op: Tape, task: Task, numbers: Values, given: ir.Value | None) -> ir.Value | None:
    """Return where no target has the number that is told, bool of B, or of one for all; None where no number is told.

    Args: numbers: [B, N] by kind. given: -1 where a task predicts what may be explained, is known.
    """
    if given is None or task.fed.dtype != ir.DataType.INT64:
        return None
    predicts = task.size == 1 or type(task).targets is not Task.targets
    count = op.Shape(next(iter(numbers.values())), start=1, end=2) if task.by_length else op.const([task.numbered])
    return op.Or(op.Less(given, -1 if predicts else 0), op.GreaterOrEqual(given, count))


def sought_told(op: Tape, task: Task, numbers: Values, asked: Values, kind: str) -> Sought | None:
    """Return what is looked for of each picture, or the best of all where its class alone is told, as -1.

    Args: as of ``Task.sought``.
    """
    found = task.sought(op, numbers, asked, kind)
    if found is None or list(asked) != [task.fed.name]:
        return found
    best = task.sought(op, numbers, {}, kind)
    assert best is not None
    given = asked[task.fed.name]
    open_ = op.Equal(given, -1)  # ONNX Runtime has no Where of bools
    seen = op.Or(op.And(open_, best.seen), op.And(op.Not(open_), found.seen))
    told = {name: value for name, value in best.told.items() if name != "detections"}
    return Sought(
        _or_predicted(op, found.feeds, given, best.feeds),
        seen,
        {**found.told, **_or_predicted(op, {name: found.told[name] for name in told}, given, told)},
        op.Where(open_, best.score, found.score),
    )


def _or_predicted(op: Tape, found: Values, given: ir.Value, predicted: Values) -> dict[str, ir.Value]:
    return {name: rows_where(op, op.Equal(given, -1), predicted[name], value) for name, value in found.items()}


def rows_where(op: Tape, flags: ir.Value, value: ir.Value, other: ir.Value | float) -> ir.Value:
    """Return rows of a value where flags [B] hold, else those of another; one flag may be for all."""
    ones = op.Expand(op.const([1]), op.Sub(op.Shape(op.Shape(value)), op.const([1])))
    return op.Where(op.Reshape(flags, op.Concat(op.Shape(flags), ones, axis=0)), value, other)
