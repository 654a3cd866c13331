"""Explaining a float value inside a graph: the graph is cut there, what lies in front is run to make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.entry import FED, shown
from onnxsal.autodiff import standardised
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import Program, Tape, dims
from onnxsal.graph.cut import feed, placed, uses_of
from onnxsal.graph.initializers import add_initializer
from onnxsal.graph.program import values_by_name
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.tokens.modality import MARK, ROWS
from onnxsal.model.asked import Asked
from onnxsal.model.held import held
from onnxsal.model.living import remove_inputs
from onnxsal.model.roles import float_values_behind
from onnxsal.model.text_filling import cut_outputs, fill_up

STAND_IN = "sal/ids/"
"""How the constant is called, the input's name behind it, that stands in the place of ids past their vectors."""


@dataclass(frozen=True)
class Ids:
    """The input of ids that become the explained value, and what is read in its place past that."""

    name: str
    array: NDArray[Any] | None
    """[1, T]; None where only their number is read."""
    rows: int | None = None
    """How many ids there are, where their table says it."""
    other: int = 0
    """The id that stands for each where none is given."""
    filled: NDArray[Any] | None = None
    """The vectors of tokens behind those of the text, [k, C], which fill it up."""


def cut_at(model: ir.Model, name: str, ids: Ids | None = None) -> ir.Model:
    """Return a model in normal form that takes a value of its own in place of what that is computed from.

    Args: ids: of tokens, where these become the value.
    Raises: UsageError: the normal form has no such value. UnsupportedError: it is none of floats with axes.
    """
    work = model.clone()
    graph = work.graph
    old = _value(graph, name)
    new = ir.Value(name=name, type=old.type, shape=ir.Shape(_open(dims(old) or ())))
    old.name = f"sal/was/{name}"
    for at, output in enumerate(graph.outputs):
        if output is old:
            graph.outputs[at] = _copied(graph, new)
    uses = uses_of(old)
    more = None if ids is None else ids.filled
    whole = new if more is None else fill_up(graph, new, more)
    feed(uses, whole)
    graph.inputs.insert(0, new)
    if ids is not None:
        new.metadata_props[MARK] = ids.name
        new.metadata_props.update({} if ids.rows is None else {ROWS: str(ids.rows)})
        if more is not None:
            cut_outputs(graph, values_by_name(graph)[ids.name], len(more))
        _stand_in(graph, whole, ids)
    remove_inputs(graph, [v for v in graph.inputs if v is not new])
    return work


def _stand_in(graph: ir.Graph, vectors: ir.Value, ids: Ids) -> None:
    """Let what reads ids past their vectors read as many, a row for each of the batch."""
    old = values_by_name(graph)[ids.name]
    op, like = Tape(graph), old.dtype or ir.DataType.INT64
    with placed(graph, after=vectors.producer()):
        shape = op.Slice(op.Shape(vectors), [0], [2])
        number = [[ids.other]] if ids.array is None else ids.array.tolist()
        stands = add_initializer(graph, f"{STAND_IN}{ids.name}", ir.tensor(number, dtype=like))
        made = op.Expand(stands, shape)
    made.type, made.shape = old.type, old.shape
    old.replace_all_uses_with(made, replace_graph_outputs=True)


def _open(shape: tuple[int | str | None, ...]) -> list[int | str | None]:
    """Only the batch keeps its name: those of other axes belong to inputs that are gone."""
    return [d if isinstance(d, int) or i == 0 else None for i, d in enumerate(shape)]


def _copied(graph: ir.Graph, value: ir.Value) -> ir.Value:
    node = ir.node("Identity", [value], name=f"sal/explained/{value.name}")
    graph.append(node)
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = node.name, value.type, value.shape
    return node.outputs[0]


def _value(graph: ir.Graph, name: str) -> ir.Value:
    value = values_by_name(graph).get(name)
    if value is None:
        raise UsageError(
            f"explained={name!r}: what the file says there is written otherwise before it is explained, and has no "
            "value of that name; name one in front of it or behind"
        )
    if value.dtype is not None and not is_float(value):
        behind = ", ".join(map(repr, float_values_behind(graph, value))) or "none"
        raise UsageError(f"value {name!r} is {shown(value)}, which has no gradient; floats behind it: {behind}")
    if value.dtype not in FED or dims(value) is None:
        raise UnsupportedError(f"explained={name!r} is {shown(value)}: only floats of a known number of axes can be")
    return value


def front(source: ir.Model, asked: Asked) -> Program:
    """Return the program that makes the explained value of what the file takes and is not held."""
    holding = held(source, asked)
    name, work = str(holding.roles.explained), holding.model
    shapes = {v.name: v.shape for v in source.graph.inputs}
    for value in work.graph.inputs:  # what a model is opened for has one length, and what is in front of it any
        value.shape = shapes[value.name]
    op = Program(standardised(work, keep=frozenset({name}))).extend()
    program = op.finish_with({name: op[name]})
    graph = program.model.graph
    for value in [v for v in graph.inputs if not v.uses()]:
        graph.inputs.remove(value)
    return program
