"""Assembling the explainer as one file: the model, and its explanation behind a guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from onnxsal.anatomy.select import explained
from onnxsal.compiler.by_row import any_of, asking, by_picture, by_things, put_back, reading_rows, taken
from onnxsal.compiler.chosen import (
    Inputs,
    aimed_in,
    asked_for,
    chosen_of,
    for_all,
    only,
    sought_of,
    targets_of,
    unknown_of,
    without,
)
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
    sought = sought_of(trace, work, given, source, there)
    inputs = Inputs(source, given, photo, front, masked, None if sought is None else sought.feeds, seeds)
    inputs = inputs if work.form.when is None else replace(inputs, targets=targets_of(trace, work, inputs, there))
    chosen = chosen_of(trace, work, inputs, sought, there)

    def every(op: Tape) -> Values:
        aim = aimed_in(op, work, inputs, there)
        found = without(op, _explanation(op, work, aim, there), unknown_of(op, work, aim, there))
        return found if chosen is None else only(op, found, chosen)

    if always:
        found = every(trace)
    else:
        asked = asked_for(trace, work, explain, chosen)

        def then(op: Tape) -> Values:
            if work.form.by_row and batch != 1:
                rows = _Rows(asked, asking(op, asked), batch)
                aim = aimed_in(op, work, inputs, there)
                found, none = _explanation(op, work, aim, there, rows), unknown_of(op, work, aim, there)
                return put_back(op, without(op, found, none, rows.numbers), asked)
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


def _explanation(op: Tape, work: Work, inputs: Inputs, there: Values, rows: _Rows | None = None) -> Values:
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


def _read(op: Tape, work: Work, inputs: Inputs, there: Values) -> Read:
    model = work.request.model
    x = explained(op, there[model.anatomy.entry.value], model.anatomy.entry)
    seeds = None
    if inputs.seeds is not None:
        seeds = op.Cast(for_all(op, inputs.seeds, op.Shape(x, start=0, end=1)), to=ir.DataType.UINT32)
    return Read(x, targets_of(op, work, inputs, there), there, inputs.front, inputs.photo, seeds)


def _maps(op: Tape, work: Work, read: Read) -> Values:
    raws = [raw_map(op, work, part, layer, read) for part, layer in zip(work.parts, work.layers, strict=True)]
    return outputs_of(op, work, raws, read.photo, op.Shape(read.x, start=-1))


def _text_by_text(op: Tape, work: Work, inputs: Inputs, there: Values, rows: _Rows | None) -> Values:
    """Return what is explained of padded texts, of each what it is alone."""
    model, mask, front = work.request.model, work.form.mask_in, front_of(work.request.model)
    assert mask is not None and inputs.mask is not None and inputs.front is not None and front is not None
    ((name, _),) = front.inputs.items()
    batch = count_of(op, inputs.source, model.anatomy.entry)
    every = {**inputs.given, **({} if inputs.seeds is None else {SEED.name: inputs.seeds})}
    given: Mapping[str, ir.Value] = {key: for_all(op, value, batch) for key, value in every.items()}
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


def _free_names(trace: Trace, names: set[str]) -> None:
    """Values inside the model that have the name of an input or output of ours get another."""
    for name in names & set(trace.names()):
        trace[name].name = trace.unique(f"was/{name}")
