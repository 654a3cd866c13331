"""Assembling the explainer as one file: the model, and its explanation behind a guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import X
from onnxsal.anatomy.select import explained
from onnxsal.compiler.aims import rows_where, sought_told, targets_told, unknown
from onnxsal.compiler.by_row import any_of, asking, by_picture, by_things, put_back, reading_rows, taken
from onnxsal.compiler.front import front_of, laid_in_front, read_past, stands_in
from onnxsal.compiler.inputs import EXPLAIN, batch_of, bytes_in, count_of, explain_input, photo_of, told_inputs
from onnxsal.compiler.maps import Read, raw_map, weights_of
from onnxsal.compiler.outputs import finished, outputs_of, shapes_of, zeros_of
from onnxsal.compiler.padded import Rows, row_by_row
from onnxsal.compiler.work import LISTED, SEED, Values, Work
from onnxsal.folding import graft, guarded, laid
from onnxsal.graph import Program, Tape
from onnxsal.graph.apart import read_apart
from onnxsal.graph.cut import feed, uses_of
from onnxsal.graph.operands import operands
from onnxsal.graph.program import Trace
from onnxsal.tasks.task import Sought


def assemble(work: Work) -> ir.Model:
    """Return the model with its explanation in a branch beside it."""
    anatomy = work.request.model.anatomy
    trace = Program(anatomy.model).extend()
    came = frozenset(trace.graph)
    always = work.form.switches.always
    ours = {*(() if always else (EXPLAIN,)), *(fed.name for fed in work.inputs), *work.form.outputs, *work.told}
    _free_names(trace, ours)
    own = {str(v.name): v for v in trace.graph.outputs}
    there = {name: trace[name] for name in trace.names()}
    front = next(iter(laid_in_front(trace, work.request.model).values()), None)
    masked = None if work.form.mask_in is None or front is None else work.form.mask_in.opened(trace, front)
    photo = bytes_in(work, trace) if work.form.bytes_in is not None else photo_of(work, trace)
    source = trace[anatomy.entry.input]
    there.update({anatomy.entry.input: source, anatomy.entry.value: trace[anatomy.entry.value]})
    if front is not None:
        there.update(read_past(trace, work.request.model, front))
    if work.form.mask_in is not None and masked is not None:
        there[work.form.mask_in.name] = masked
    batch = batch_of(source, anatomy.entry)
    given = told_inputs(work, trace, batch)
    seeds = given.pop(SEED.name, None)
    explain = None
    if not always and (work.form.when is None or not work.form.by_row):  # whoever only predicts knows nothing of it
        explain = explain_input(trace, batch, by_row=work.form.by_row, required=work.form.explain_required)
    sought = _sought(trace, work, given, source, there)
    inputs = _Inputs(source, given, photo, front, masked, None if sought is None else sought.feeds, seeds)
    inputs = inputs if work.form.when is None else replace(inputs, targets=_targets(trace, work, inputs, there))
    chosen = _chosen(trace, work, inputs, sought, there)

    def every(op: Tape) -> Values:
        found = _without(op, _explanation(op, work, inputs, there), _unknown(op, work, inputs, there))
        return found if chosen is None else _only(op, found, chosen)

    if always:
        found = every(trace)
    else:
        asked = _asked(trace, work, explain, chosen)

        def then(op: Tape) -> Values:
            if work.form.by_row and batch != 1:
                rows = _Rows(asked, asking(op, asked), batch)
                found, none = _explanation(op, work, inputs, there, rows), _unknown(op, work, inputs, there)
                return put_back(op, _without(op, found, none, rows), asked)
            return every(op)

        found = guarded(
            trace, any_of(trace, asked) if work.form.by_row else asked, then, lambda op: zeros_of(op, work, source)
        )
    _read_copies(trace, own)
    read_apart(trace, came)
    told = {} if sought is None else {name: sought.told[name] for name in work.told}
    if work.form.by_row and LISTED in told:
        told[LISTED] = by_picture(trace, told[LISTED], count_of(trace, source, anatomy.entry))
    return finished(work, trace, {**own, **found, **told})


def _asked(trace: Trace, work: Work, explain: ir.Value | None, chosen: ir.Value | None) -> ir.Value:
    """Return what is asked for and can be explained: a scalar, or where each row is asked for itself, bool [B]."""
    if chosen is None or explain is None:
        both = explain if chosen is None else chosen
        assert both is not None
        return both
    return trace.And(explain, chosen if work.form.by_row else any_of(trace, chosen))


def _sought(trace: Trace, work: Work, given: Values, source: ir.Value, there: Values) -> Sought | None:
    """Return what is explained of each picture, where the task looks for it before anything else."""
    task, goal = work.request.model.task, work.goal
    if goal.is_program or not task.told:
        return None
    batch = count_of(trace, source, work.request.model.anatomy.entry)
    fixed = {name: trace.const(value) for name, value in goal.constants(task.fed.name).items()}
    asked = {name: _for_all(trace, value, batch) for name, value in {**fixed, **given}.items()}
    task = task if goal.fixed is None else task.opened(goal.fixed)
    numbers = _numbers(trace, work, there)
    return (
        sought_told(trace, task, numbers, asked, work.request.score)
        if given
        else task.sought(trace, numbers, asked, work.request.score)
    )


def _for_all(op: Tape, value: ir.Value, batch: ir.Value) -> ir.Value:
    """Return what says what is explained, of B or of one for all, for each picture, [B, ...]."""
    rest = op.Shape(value, start=1)
    return op.Expand(value, op.Concat(batch, rest, axis=0))


def _numbers(op: Tape, work: Work, there: Values) -> Values:
    """Return the model's numbers by kind, [B, N]."""
    task = work.request.model.task
    written = task.write(op, there)
    return {kind: written[name] for kind, name in {**task.kinds, **task.beside}.items()}


def _chosen(op: Tape, work: Work, inputs: _Inputs, sought: Sought | None, there: Values) -> ir.Value | None:
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
    holds = when.holds(op, when.number(op, _numbers(op, work, there), inputs.targets or {}))
    nothing = _unknown(op, work, inputs, there)
    return holds if nothing is None else op.Or(holds, nothing)


@dataclass(frozen=True)
class _Inputs:
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


@dataclass(frozen=True)
class _Rows:
    """The rows that are explained, where each is asked for itself."""

    asked: ir.Value
    """Bool [B]."""
    numbers: ir.Value
    """Int64 [K]."""
    batch: int | str | None


def _read_copies(trace: Trace, outputs: Values) -> None:
    """Let branches and loops read copies of the model's outputs: OpenVINO refuses those that read an output itself."""
    for value in outputs.values():
        inner = [use for use in uses_of(value) if use[0].graph is not trace.graph]
        if inner:
            copy = ir.Value(name=trace.unique("copy"), type=value.type, shape=value.shape)
            reader = next(node for node in trace.graph if any(v is value for v in operands(node)))
            trace.graph.insert_before(reader, ir.node("Identity", [value], outputs=[copy], name=copy.name))
            feed(inner, copy)


def _explanation(op: Tape, work: Work, inputs: _Inputs, there: Values, rows: _Rows | None = None) -> Values:
    """Return what is explained: of all things, [B, ...], or of rows that are asked for, [K, ...]."""
    if inputs.mask is not None:
        return _text_by_text(op, work, inputs, there, rows)
    read = _read(op, work, inputs, there)
    if rows is None:
        return _maps(op, work, read)
    shared = by_things(there, rows.batch)
    read = read.of(op, rows.numbers, shared)
    with reading_rows(op, shared, rows.numbers):
        return _maps(op, work, read)


def _read(op: Tape, work: Work, inputs: _Inputs, there: Values) -> Read:
    model = work.request.model
    x = explained(op, there[model.anatomy.entry.value], model.anatomy.entry)
    seeds = None
    if inputs.seeds is not None:
        seeds = op.Cast(_for_all(op, inputs.seeds, op.Shape(x, start=0, end=1)), to=ir.DataType.UINT32)
    return Read(x, _targets(op, work, inputs, there), there, inputs.front, inputs.photo, seeds)


def _maps(op: Tape, work: Work, read: Read) -> Values:
    raws = [raw_map(op, work, part, layer, read) for part, layer in zip(work.parts, work.layers, strict=True)]
    return outputs_of(op, work, raws, read.photo, op.Shape(read.x, start=-1))


def _text_by_text(op: Tape, work: Work, inputs: _Inputs, there: Values, rows: _Rows | None) -> Values:
    """Return what is explained of padded texts, of each what it is alone."""
    model, mask, front = work.request.model, work.form.mask_in, front_of(work.request.model)
    assert mask is not None and inputs.mask is not None and inputs.front is not None and front is not None
    ((name, _),) = front.inputs.items()
    batch = count_of(op, inputs.source, model.anatomy.entry)
    every = {**inputs.given, **({} if inputs.seeds is None else {SEED.name: inputs.seeds})}
    given: Mapping[str, ir.Value] = {key: _for_all(op, value, batch) for key, value in every.items()}
    weights, texts, counts = weights_of(there), inputs.front, mask.counts(op, inputs.mask)
    if rows is not None:
        given = taken(op, given, rows.numbers)
        texts, counts = (op.Gather(value, rows.numbers, axis=0) for value in (texts, counts))

    def one(inner: Tape, ids: ir.Value, own: Mapping[str, ir.Value]) -> Values:
        vectors = graft(inner, front, {name: ids}, weights)[model.anatomy.entry.input]
        read = {**weights, **{name: ids for name in weights if stands_in(name)}}
        values = laid(inner, Program(model.anatomy.model), {model.anatomy.entry.input: vectors}, read)
        told = dict(own)
        seeds = told.pop(SEED.name, None)
        alone = replace(inputs, source=vectors, given=told, front=ids, mask=None, targets=None, seeds=seeds)
        return _explanation(inner, work, alone, values)

    ranks = {kind: len(shape) for kind, shape in shapes_of(work).items() if kind in work.maps}
    return row_by_row(op, Rows(texts, counts, given), one, ranks)


def _targets(op: Tape, work: Work, inputs: _Inputs, there: Values) -> Mapping[str, ir.Value]:
    """Return the programs' target inputs by name."""
    if inputs.targets is not None:
        return inputs.targets
    task, batch = work.request.model.task, count_of(op, inputs.source, work.request.model.anatomy.entry)
    numbers = _numbers(op, work, there)
    if work.goal.is_program or (held := work.goal.fixed_at(op, batch)):
        return {} if work.goal.is_program else held
    labels = work.request.model.labels
    if inputs.given:
        return targets_told(op, task, numbers, inputs.given[task.fed.name], batch, labels)
    return task.targets(op, numbers, work.goal.opened(op), batch, labels)


def _unknown(op: Tape, work: Work, inputs: _Inputs, there: Values) -> ir.Value | None:
    """Return which things are told the number of no target, bool [B] or of one for all; None where none is told, or
    where the task looks for what is told and says itself that it is not there."""
    task = work.request.model.task
    if task.told or not inputs.given:
        return None
    numbers = _numbers(op, work, there) if task.by_length else {}
    return unknown(op, task, numbers, inputs.given.get(task.fed.name))


def _without(op: Tape, found: Values, nothing: ir.Value | None, rows: _Rows | None = None) -> Values:
    """Return outputs that are NaN where there is no such target: of all things, or of rows that are asked for."""
    if nothing is None:
        return found
    of = nothing if rows is None else op.Gather(nothing, rows.numbers, axis=0)
    return _only(op, found, op.Not(of), np.nan)


def _only(op: Tape, found: Values, chosen: ir.Value, other: float = 0) -> Values:
    """Return outputs [B, ...] that are another number where nothing is explained, whatever else is in the batch;
    drawings are black there."""
    black = op.const(0, ir.DataType.UINT8)
    number = op.const(np.float32(other))
    return {
        name: rows_where(op, chosen, value, black if name == "drawing" else number) for name, value in found.items()
    }


def _free_names(trace: Trace, names: set[str]) -> None:
    """Values inside the model that have the name of an input or output of ours get another."""
    for name in names & set(trace.names()):
        trace[name].name = trace.unique(f"was/{name}")
