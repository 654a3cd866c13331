"""A method's program that chooses its target itself: prediction and map in one run, where nothing is passed between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import TARGET, X
from onnxsal.errors import OnnxsalError, UsageError
from onnxsal.explanation.target import TargetSource
from onnxsal.graph import Program
from onnxsal.graph.cut import feed, uses_of
from onnxsal.model import Model

CHOSEN = "sal/chosen"
"""The output that tells which column was explained, int64 [B]."""

PREDICTED = -1
"""What is fed where the column is the predicted one."""


def at_once(model: Model, program: Program, kinds: Mapping[str, str]) -> Program | None:
    """Return a program that explains the column that it is fed, and the predicted one where that is negative.

    None where its target is more than a column, or is found outside a graph alone.

    Args: kinds: the outputs by the kind of their numbers.
    """
    if [name for name in program.inputs if name != X] != [TARGET]:
        return None
    op = program.extend()
    given = next(v for v in op.graph.inputs if v.name == TARGET)
    readers = uses_of(given)
    try:
        batch = op.Shape(op[X], start=0, end=1)
        numbers = {kind: op[name] for kind, name in kinds.items()}
        best = model.task.targets(op, numbers, None, batch, model.labels)
    except OnnxsalError:  # the task needs a target that is said
        return None
    if list(best) != [TARGET]:
        return None
    chosen = op.Where(op.Less(given, op.const(0, ir.DataType.INT64)), best[TARGET], given)
    feed(readers, chosen)
    op.graph.sort()
    return op.finish_with({**{name: op[name] for name in program.outputs}, CHOSEN: chosen})


def column_of(model: Model, targets: Sequence[TargetSource]) -> NDArray[np.int64] | None:
    """Return what is fed for the one target that there is, int64 [1]; None where that is not known beforehand."""
    if len(targets) != 1:
        return None
    (target,) = targets
    if target is None:
        return np.array([PREDICTED])
    column: Any = target
    if isinstance(target, str) and model.labels is not None:
        with suppress(UsageError):  # said where the target is resolved
            column = model.labels.find(target)
    known = isinstance(column, int) and not isinstance(column, bool) and 0 <= column < model.task.size
    return np.array([column]) if known else None
