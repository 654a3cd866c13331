"""A model of rows of a table with the values of its columns, as one file: what it gives, ``values`` and their base."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal._version import __version__
from onnxsal.compiler.aims import targets_told
from onnxsal.compiler.by_row import any_of, asking, one_at_once, put_back, taken
from onnxsal.compiler.inputs import EXPLAIN, explain_input, told
from onnxsal.compiler.metadata import METADATA
from onnxsal.compiler.own_columns import OwnInput, own_inputs, with_own_inputs
from onnxsal.compiler.row_values import Doubles, Explainer, Pick, coalitions, sums
from onnxsal.compiler.work import FileTarget
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


def compiled_columns(
    model: Model, steps: MethodPlan, score: str | None, goal: FileTarget, *, required: bool, by_row: bool = False
) -> ir.Model:
    """Return the file of a model and the values of its columns.

    Args: required: whether ``explain`` has no default. by_row: whether each row is asked for itself.
    Raises: UsageError: there is no background. UnsupportedError: the values are more work than a file may do, or an
    output has no row for each.
    """
    if by_row and (why := one_at_once(model)):
        raise UnsupportedError(f"runtime=triton: {why}, and rows of tables go in together")
    work = _work(as_table(model), steps, score, goal)
    entry, anatomy = work.model.anatomy.entry.input, work.model.anatomy
    trace = Trace(anatomy.model.clone())
    own_outputs = {str(v.name): v for v in trace.graph.outputs}
    for name in {EXPLAIN, VALUES, BASE, *(fed.name for fed in goal.inputs)} & set(trace.names()):
        trace[name].name = trace.unique(f"was/{name}")
    numbers = anatomy.head.write(trace, trace)
    batch = (dims(trace[entry]) or (BATCH,))[0]
    rows = with_own_inputs(trace, entry, work.own, batch)
    given = {fed.name: told(trace, fed, batch, by_row=by_row) for fed in goal.inputs}
    explain = explain_input(trace, batch, by_row=by_row, required=required)
    kinds = {kind: numbers[name] for kind, name in anatomy.head.kinds.items()}

    def then(op: Tape) -> dict[str, ir.Value]:
        if not by_row:
            return _values(op, work, rows, _pick(work, kinds, given, rows[0]))
        at = asking(op, explain)
        some = [op.Gather(value, at, axis=0) for value in rows]
        pick = _pick(work, taken(op, kinds, at), taken(op, given, at), some[0])
        return put_back(op, _values(op, work, some, pick), explain)

    asked = any_of(trace, explain) if by_row else explain
    found = guarded(trace, asked, then, lambda op: _nothing(op, rows[0], len(table_in(work.model).columns)))
    return _finished(trace, work, {**own_outputs, **found}, batch)


def _values(op: Tape, work: _Work, rows: Sequence[ir.Value], pick: Pick) -> dict[str, ir.Value]:
    values, base = work.explainer.write(op, rows, pick)
    return {VALUES: values, BASE: base}


def _work(model: Model, steps: MethodPlan, score: str | None, goal: FileTarget) -> _Work:
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
    return _Work(model, steps, explainer, own, found.kind, goal, background.values, background.notes)


def _is_sum(form: Form) -> bool:
    """Whether all parts of a closed form are numbers of one column: values of trees need loops that no graph has."""
    return all(isinstance(part, Numbers) for part in form.parts)


def _pick(work: _Work, numbers: Mapping[str, ir.Value], given: Mapping[str, ir.Value], rows: ir.Value) -> Pick:
    """Return what takes the target's numbers: of a fixed one its sum, else the column that is fed or predicted."""
    fixed, task = work.goal.fixed, work.model.task
    if fixed is not None and not fixed.is_open:

        def summed(op: Tape, scores: ir.Value) -> ir.Value:
            taken = op.Gather(scores, fixed.indices, axis=2)
            return op.Squeeze(op.MatMul(taken, fixed.coefficients.astype(np.float64)[:, None]), [2])

        return summed

    def chosen(op: Tape, scores: ir.Value) -> ir.Value:
        batch = op.Shape(scores, start=0, end=1)
        told, count, labels = next(iter(given.values()), None), op.Shape(rows, start=0, end=1), work.model.labels
        if told is None:
            (column,) = task.targets(op, numbers, None, count, labels).values()
        else:
            (column,) = targets_told(op, task, numbers, told, count, labels).values()
        at = op.Expand(op.Reshape(column, [-1, 1, 1]), op.Concat(batch, op.Shape(scores, start=1, end=2), [1], axis=0))
        return op.Squeeze(op.GatherElements(scores, at, axis=2), [2])

    return chosen


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
        "notes": [*model.notes, *work.notes],
        "source": model.name.replace("\\", "/").rsplit("/", 1)[-1], "source_sha256": model.digest,
        "onnxsal": __version__,
    }  # fmt: skip
