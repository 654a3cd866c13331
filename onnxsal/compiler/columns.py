"""A model of rows of a table with the values of its columns, as one file: what it gives, ``values`` and their base."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal._version import __version__
from onnxsal.compiler.aims import rows_where, targets_told, unknown
from onnxsal.compiler.by_row import any_of, asking, one_at_once, put_back, taken
from onnxsal.compiler.inputs import EXPLAIN, explain_input, told
from onnxsal.compiler.metadata import METADATA, say_more
from onnxsal.compiler.own_columns import OwnInput, own_inputs, with_own_inputs
from onnxsal.compiler.row_values import Doubles, Explainer, Pick, coalitions, sums
from onnxsal.compiler.switches import switched
from onnxsal.compiler.when import When, when_of
from onnxsal.compiler.work import FileTarget
from onnxsal.compiler.work import Form as FileForm
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.explanation.method_plan import MethodPlan
from onnxsal.explanation.shapley.background import background_of
from onnxsal.explanation.shapley.closed import Form, Numbers, closed_form
from onnxsal.explanation.shapley.margins import SCORES, scored
from onnxsal.folding import guarded
from onnxsal.graph import Tape, dims
from onnxsal.graph.infer import BATCH
from onnxsal.graph.program import Trace
from onnxsal.graph.shapes import Dim
from onnxsal.modalities.table_rows import TableRows
from onnxsal.model import Model
from onnxsal.model.table import as_table, table_in

VALUES, BASE = "values", "base_value"


@dataclass(frozen=True)
class _Work:
    """What there is to assemble."""

    model: Model
    steps: MethodPlan
    explainer: Explainer
    own: Sequence[OwnInput]
    kind: str
    goal: FileTarget
    background: Doubles
    notes: tuple[str, ...]
    when: When | None


def compiled_columns(
    model: Model, steps: MethodPlan, score: str | None, goal: FileTarget, form: FileForm, when: str | None = None
) -> ir.Model:
    """Return the file of a model and the values of its columns.

    Args: form: whether ``explain`` is there, has a default, and is asked for each row. when: which rows are explained;
    see ``when_of``.
    Raises: UsageError: there is no background. UnsupportedError: the values are more work than a file may do, or an
    output has no row for each.
    """
    by_row, switches = form.by_row, form.switches
    if by_row and (why := one_at_once(model)):
        raise UnsupportedError(f"runtime=triton: {why}, and rows of tables go in together")
    work = _work(as_table(model), steps, score, goal, when)
    entry, anatomy = work.model.anatomy.entry.input, work.model.anatomy
    trace = Trace(anatomy.model.clone())
    own_outputs = {str(v.name): v for v in trace.graph.outputs}
    for name in {EXPLAIN, VALUES, BASE, *(fed.name for fed in goal.inputs)} & set(trace.names()):
        trace[name].name = trace.unique(f"was/{name}")
    numbers = anatomy.head.write(trace, trace)
    batch = (dims(trace[entry]) or (BATCH,))[0]
    rows = with_own_inputs(trace, entry, work.own, batch)
    given = {fed.name: told(trace, fed, batch, by_row=by_row) for fed in goal.inputs}
    kinds = {kind: numbers[name] for kind, name in anatomy.head.kinds.items()}
    rows_asked = None if work.when is None else _chosen(trace, work, work.when, kinds, given, rows[0])

    def every(op: Tape) -> dict[str, ir.Value]:
        found = _without(op, work, _values(op, work, rows, _pick(work, kinds, given, rows[0])), kinds, given)
        return found if rows_asked is None else _only(op, found, rows_asked)

    if switches.always:
        found = every(trace)
    else:
        asked = _asked(trace, rows_asked, batch, by_row=by_row, required=form.explain_required)

        def then(op: Tape) -> dict[str, ir.Value]:
            if not by_row:
                return every(op)
            at = asking(op, asked)
            some = [op.Gather(value, at, axis=0) for value in rows]
            own, told_of = taken(op, kinds, at), taken(op, given, at)
            found = _values(op, work, some, _pick(work, own, told_of, some[0]))
            return put_back(op, _without(op, work, found, own, told_of), asked)

        asked_at_all = any_of(trace, asked) if by_row else asked
        found = guarded(trace, asked_at_all, then, lambda op: _nothing(op, rows[0], len(table_in(work.model).columns)))
    made = _finished(trace, work, {**own_outputs, **found}, batch)
    say_more(made, switched(made, switches, frozenset({EXPLAIN}), batch), switches.described)
    return made


def _asked(trace: Trace, chosen: ir.Value | None, batch: Dim, *, by_row: bool, required: bool) -> ir.Value:
    """Return what is asked for: a scalar, or where each row is asked for itself, bool [B]."""
    if by_row and chosen is not None:
        return chosen
    explain = explain_input(trace, batch, by_row=by_row, required=required)
    return explain if chosen is None else trace.And(explain, any_of(trace, chosen))


def _only(op: Tape, found: Mapping[str, ir.Value], chosen: ir.Value, other: float = 0.0) -> dict[str, ir.Value]:
    """Return values that are another number in rows that are not explained."""
    return {name: rows_where(op, chosen, value, op.const(np.float64(other))) for name, value in found.items()}


def _without(
    op: Tape, work: _Work, found: dict[str, ir.Value], numbers: Mapping[str, ir.Value], given: Mapping[str, ir.Value]
) -> dict[str, ir.Value]:
    """Return values that are NaN in rows that are told the number of no target."""
    none = unknown(op, work.model.task, numbers, next(iter(given.values()), None))
    return found if none is None else _only(op, found, op.Not(none), np.nan)


def _values(op: Tape, work: _Work, rows: Sequence[ir.Value], pick: Pick) -> dict[str, ir.Value]:
    values, base = work.explainer.write(op, rows, pick)
    return {VALUES: values, BASE: base}


def _work(model: Model, steps: MethodPlan, score: str | None, goal: FileTarget, when: str | None) -> _Work:
    table, found = table_in(model), scored(model, score)
    nothing = TableRows(("",), np.zeros((1, len(table.columns))), ((),), ())  # no row stands for the background here
    background = background_of(table, steps.options["background"], nothing)
    if background.by_covers:
        raise UsageError("background=covers: values in a file are means over rows; give some (--background FILE.csv)")
    own = own_inputs(model.anatomy.model.graph, model.anatomy.entry.input, table.columns)
    form = closed_form(found.program, SCORES)
    explainer: Explainer
    if form is not None and _is_sum(form):
        explainer = sums(model, form, own, background.values)
    else:
        explainer = coalitions(model, found.program, own, background.values)
    condition = None if when is None else when_of(when, model.task, goal.fixed, found.kind)
    notes = (*background.notes, *(() if condition is None else (condition.note,)))
    return _Work(model, steps, explainer, own, found.kind, goal, background.values, notes, condition)


def _is_sum(form: Form) -> bool:
    """Whether all parts of a closed form are numbers of one column: values of trees need loops that no graph has."""
    return all(isinstance(part, Numbers) for part in form.parts)


def _pick(work: _Work, numbers: Mapping[str, ir.Value], given: Mapping[str, ir.Value], rows: ir.Value) -> Pick:
    """Return what takes the target's numbers: of a fixed one its sum, else the column that is fed or predicted."""
    fixed = work.goal.fixed
    if fixed is not None and not fixed.is_open:

        def summed(op: Tape, scores: ir.Value) -> ir.Value:
            taken = op.Gather(scores, fixed.indices, axis=2)
            return op.Squeeze(op.MatMul(taken, fixed.coefficients.astype(np.float64)[:, None]), [2])

        return summed

    def chosen(op: Tape, scores: ir.Value) -> ir.Value:
        batch = op.Shape(scores, start=0, end=1)
        (column,) = _targets(op, work, numbers, given, rows).values()
        at = op.Expand(op.Reshape(column, [-1, 1, 1]), op.Concat(batch, op.Shape(scores, start=1, end=2), [1], axis=0))
        return op.Squeeze(op.GatherElements(scores, at, axis=2), [2])

    return chosen


def _targets(
    op: Tape, work: _Work, numbers: Mapping[str, ir.Value], given: Mapping[str, ir.Value], rows: ir.Value
) -> Mapping[str, ir.Value]:
    """Return what says which numbers of each row are explained."""
    batch = op.Shape(rows, start=0, end=1)
    fixed = work.goal.fixed_at(op, batch)
    task, told_of, labels = work.model.task, next(iter(given.values()), None), work.model.labels
    if told_of is not None:
        return targets_told(op, task, numbers, told_of, batch, labels)
    return fixed or task.targets(op, numbers, None, batch, labels)


def _chosen(
    op: Tape, work: _Work, when: When, numbers: Mapping[str, ir.Value], given: Mapping[str, ir.Value], rows: ir.Value
) -> ir.Value:
    """Return which rows are explained, bool [B]."""
    holds = when.holds(op, when.number(op, numbers, _targets(op, work, numbers, given, rows)))
    none = unknown(op, work.model.task, numbers, next(iter(given.values()), None))
    return holds if none is None else op.Or(holds, none)


def _nothing(op: Tape, rows: ir.Value, width: int) -> dict[str, ir.Value]:
    """Zeros in place of what was not asked for."""
    batch, zero = op.Shape(rows, start=0, end=1), ir.tensor(np.zeros(1))
    return {VALUES: op.ConstantOfShape(op.Concat(batch, [width], axis=0), value=zero),
            BASE: op.ConstantOfShape(batch, value=zero)}  # fmt: skip


def _finished(trace: Trace, work: _Work, outputs: Mapping[str, ir.Value], batch: Dim) -> ir.Model:
    for value in work.model.anatomy.model.graph.outputs:
        own = outputs[str(value.name)]
        own.type, own.shape = value.type, value.shape
    for name, shape in ((VALUES, [batch, len(table_in(work.model).columns)]), (BASE, [batch])):
        outputs[name].type, outputs[name].shape = ir.TensorType(ir.DataType.DOUBLE), ir.Shape(shape)
    made = trace.finish_with(outputs).model
    made.producer_name, made.producer_version = "onnxsal", __version__
    made.metadata_props.update({**work.model.metadata, METADATA: json.dumps(_described(work), default=str)})
    return made


def _described(work: _Work) -> dict[str, Any]:
    """Return what the file says of itself."""
    model, columns = work.model, table_in(work.model).columns
    fixed = None if work.goal.fixed is None else work.goal.fixed.target
    options = {name: value for name, value in work.steps.described().items() if name not in ("background", "samples")}
    return {
        "method": work.steps.method.name, "options": options, "seed": 0, "layer": [], "score": work.kind,
        "target": "input" if work.goal.inputs else "predicted" if fixed is None else fixed, "signed": True,
        "way": work.explainer.way, "background_rows": len(work.background),
        "columns": [column.name for column in columns],
        "input": {"name": ", ".join(each.name for each in work.own), "axes": "NW", "type": "columns",
                  "size": [len(columns)], "channels": 1},
        "output": model.task.written(), "outputs": [VALUES, BASE],
        "means": {VALUES: "what each column adds to the base value, double [B, F]",
                  BASE: "the mean of the score over the background, double [B]"},
        **({} if work.when is None else {"when": str(work.when)}), "notes": [*model.notes, *work.notes],
        "source": model.name.replace("\\", "/").rsplit("/", 1)[-1], "source_sha256": model.digest,
        "onnxsal": __version__,
    }  # fmt: skip
