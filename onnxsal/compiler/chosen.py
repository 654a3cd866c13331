"""Which things are explained, and as what: the target, what is looked for first, and the conditions, in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import COEFFICIENTS, X
from onnxsal.anatomy.select import explained
from onnxsal.compiler.aims import rows_where, sought_told, targets_there, targets_told, unknown
from onnxsal.compiler.by_row import any_of
from onnxsal.compiler.inputs import count_of
from onnxsal.compiler.work import Values, Work
from onnxsal.folding import graft
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.tasks.task import Place, Sought


@dataclass(frozen=True)
class Inputs:
    """What goes in, and what was made of it in front of the guard."""

    source: ir.Value
    """The model's own input, or what stands for it behind folded preprocessing."""
    given: Values
    """What says what is explained."""
    photo: ir.Value | None
    """Bytes [B, H, W, 3] to draw on."""
    front: ir.Value | None
    """The input that the explained value is computed from, such as the ids of tokens; None where it is one itself."""
    mask: ir.Value | None = None
    """Which of these ids count, where the file is told."""
    targets: Mapping[str, ir.Value] | None = None
    """The programs' target inputs, where they are known in front of the guard."""
    seeds: ir.Value | None = None
    """Of the draws, where the file is told, int64 [B] or [1]."""


def asked_for(trace: Trace, work: Work, explain: ir.Value | None, chosen: ir.Value | None) -> ir.Value:
    """Return what is asked for and can be explained: a scalar, or where each row is asked for itself, bool [B]."""
    if chosen is None or explain is None:
        both = explain if chosen is None else chosen
        assert both is not None
        return both
    return trace.And(explain, chosen if work.form.by_row else any_of(trace, chosen))


def sought_of(trace: Trace, work: Work, given: Values, source: ir.Value, there: Values) -> Sought | None:
    """Return what is explained of each picture, where the task looks for it before anything else."""
    task, goal = work.request.model.task, work.goal
    if goal.is_program or not task.told:
        return None
    batch = count_of(trace, source, work.request.model.anatomy.entry)
    fixed = {name: trace.const(value) for name, value in goal.constants(task.fed.name).items()}
    asked = {name: for_all(trace, value, batch) for name, value in {**fixed, **given}.items()}
    task = task if goal.fixed is None else task.opened(goal.fixed)
    numbers = numbers_of(trace, work, there)
    return (
        sought_told(trace, task, numbers, asked, work.request.score)
        if given
        else task.sought(trace, numbers, asked, work.request.score)
    )


def chosen_of(op: Tape, work: Work, inputs: Inputs, sought: Sought | None, there: Values) -> ir.Value | None:
    """Return which things are explained, bool [B], where what is computed tells; None: all of them are."""
    when, goal = work.form.when, work.goal
    if when is None:
        return None if sought is None else sought.seen
    if sought is not None:
        return op.And(sought.seen, when.holds(op, sought.score))
    if goal.fixed is not None and goal.fixed.program is not None:
        entry = work.request.model.anatomy.entry
        x = explained(op, there[entry.value], entry)
        return when.holds(op, graft(op, goal.fixed.program, {X: x}, there, outputs=["score"])["score"])
    holds = when.holds(op, when.number(op, numbers_of(op, work, there), inputs.targets or {}))
    nothing = unknown_of(op, work, inputs, there)
    return holds if nothing is None else op.Or(holds, nothing)


def targets_of(op: Tape, work: Work, inputs: Inputs, there: Values) -> Mapping[str, ir.Value]:
    """Return the programs' target inputs by name."""
    if inputs.targets is not None:
        return inputs.targets
    task, batch = work.request.model.task, count_of(op, inputs.source, work.request.model.anatomy.entry)
    numbers = numbers_of(op, work, there)
    if work.goal.is_program or (held := work.goal.fixed_at(op, batch)):
        return {} if work.goal.is_program else held
    labels = work.request.model.labels
    if (region := work.goal.region) is not None:
        asked, frame = {name: for_all(op, value, batch) for name, value in inputs.given.items()}, work.goal.frame
        assert frame is not None
        place, fixed = Place(asked.pop(region), frame), work.goal.opened(op)
        if fixed is not None:
            return task.targets_at(op, {}, for_all(op, fixed, batch), place, labels)
        return targets_there(op, task, numbers, asked[task.fed.name], place, labels)
    if inputs.given:
        return targets_told(op, task, numbers, inputs.given[task.fed.name], batch, labels)
    return task.targets(op, numbers, work.goal.opened(op), batch, labels)


def aimed_in(op: Tape, work: Work, inputs: Inputs, there: Values) -> Inputs:
    """Return inputs with the programs' target inputs, where these tell which things have nothing to explain."""
    return replace(inputs, targets=targets_of(op, work, inputs, there)) if _of_regions(work) else inputs


def _of_regions(work: Work) -> bool:
    """Whether a mean over a region is explained that a picture decides, or who asks: there may be nothing in it."""
    goal = work.goal
    return work.request.model.task.has_regions and (goal.fixed is None or goal.fixed.is_open)


def numbers_of(op: Tape, work: Work, there: Values) -> Values:
    """Return the model's numbers by kind, [B, N]."""
    task = work.request.model.task
    written = task.write(op, there)
    return {kind: written[name] for kind, name in {**task.kinds, **task.beside}.items()}


def for_all(op: Tape, value: ir.Value, batch: ir.Value) -> ir.Value:
    """Return what says what is explained, of B or of one for all, for each picture, [B, ...]."""
    rest = op.Shape(value, start=1)
    return op.Expand(value, op.Concat(batch, rest, axis=0))


def unknown_of(op: Tape, work: Work, inputs: Inputs, there: Values) -> ir.Value | None:
    """Return which things are told the number of no target, or have a region of nothing, bool [B] or of one for all;
    None where neither can be, or where the task looks for what is told and says itself that it is not there."""
    task = work.request.model.task
    given = None if task.told else inputs.given.get(task.fed.name)
    none = unknown(op, task, numbers_of(op, work, there) if given is not None and task.by_length else {}, given)
    if not _of_regions(work) or inputs.targets is None:
        return none
    nothing = op.Equal(op.ReduceSum(inputs.targets[COEFFICIENTS], [1], keepdims=0), 0.0)
    return nothing if none is None else op.Or(none, nothing)


def without(op: Tape, found: Values, nothing: ir.Value | None, rows: ir.Value | None = None) -> Values:
    """Return outputs that are NaN where there is no such target. Args: rows: those that are asked for, of all."""
    if nothing is None:
        return found
    of = nothing if rows is None else op.Gather(nothing, rows, axis=0)
    return only(op, found, op.Not(of), np.nan)


def only(op: Tape, found: Values, chosen: ir.Value, other: float = 0) -> Values:
    """Return outputs [B, ...] that are another number where nothing is explained, whatever else is in the batch;
    drawings are black there."""
    black = op.const(0, ir.DataType.UINT8)
    number = op.const(np.float32(other))
    return {
        name: rows_where(op, chosen, value, black if name == "drawing" else number) for name, value in found.items()
    }
