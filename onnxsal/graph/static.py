"""Fixing the batch of a finished graph: every size that follows from it becomes a number."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.graph.attributes import attributes
from onnxsal.graph.branches import settle_branches
from onnxsal.graph.fold import fold_constants
from onnxsal.graph.infer import Study, study, write_shapes
from onnxsal.graph.initializers import lift_constants
from onnxsal.graph.operands import operands
from onnxsal.graph.program import drop_unread
from onnxsal.graph.scopes import separate_names
from onnxsal.graph.shapes import Dim, dims, static
from onnxsal.graph.tape import Tape


def fix_batch(graph: ir.Graph, symbol: Dim, count: int) -> None:
    """Let all inputs whose first axis is called ``symbol`` take ``count`` things, in place."""
    for value in graph.inputs:
        shape = dims(value)
        if shape and isinstance(symbol, str) and shape[0] == symbol:
            value.shape = ir.Shape([count, *shape[1:]])


def settle_shapes(model: ir.Model, opaque: frozenset[str]) -> None:
    """Compute what follows from the shapes of the inputs, in bodies too, in place.

    Args: opaque: names of inputs whose defaults are no constants.
    """
    graph = model.graph
    for value in _made(graph):
        if static(value) is None:
            value.shape = None
    opaque |= _weights(graph)
    known = study(graph, opaque)
    while settle_branches(graph, known):
        lift_constants(graph)
        known = study(graph, opaque)
    _stack(graph, known)
    known = study(graph, opaque)
    for each in (graph, *graph.subgraphs()):
        fold_constants(each, known, most=_SMALL)
    drop_unread(model)
    separate_names(graph, Tape(graph).unique)
    known = study(graph, opaque)
    for each in (graph, *graph.subgraphs()):
        write_shapes(each, known)
        _leave_whole(each)


def _leave_whole(graph: ir.Graph) -> None:
    """Take the one row there is as it is, instead of reading it and writing it back: runtimes have no ScatterND of
    float64."""
    for node in graph:
        if node.domain or node.op_type not in ("Gather", "ScatterND") or attributes(node).get("axis"):
            continue
        data, place, *written = node.inputs
        assert data is not None
        shape, first = static(data), None if place is None or place.is_graph_input() else place.const_value
        if not shape or shape[0] != 1 or first is None or first.numpy().shape != (1,) * (1 + len(written)):
            continue
        if static(node.outputs[0]) == shape and node.attributes.get_string("reduction", "none") == "none":
            node.op_type = "Identity"
            node.replace_input_with(0, written[0] if written else data)
            node.resize_inputs(1)
            node.attributes.clear()


_SMALL = 4096
"""Elements of what is computed: what is larger would make the file so."""


def _stack(graph: ir.Graph, known: Study) -> None:
    """Say how many rows a Loop of a known number of turns puts one behind the other."""
    for node in graph.all_nodes():
        turns = known.constant(node.inputs[0]) if node.op_type == "Loop" and node.inputs[0] is not None else None
        if turns is None:
            continue
        for value in node.outputs[len(node.inputs) - 2 :]:
            if shape := known.shape(value):
                value.shape = ir.Shape([int(turns.reshape(-1)[0]), *shape[1:]])


def _weights(graph: ir.Graph) -> frozenset[str]:
    """Return the names of initializers that are no sizes or places: what is made of them stays computed."""
    every = [v for each in (graph, *graph.subgraphs()) for v in each.initializers.values()]
    return frozenset(str(v.name) for v in every if v.dtype not in _COUNTS or (dims(v) or ())[1:])


_COUNTS = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL)


def unsettled(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes of a graph that make a value whose shape is not known, of values whose shapes all are."""
    open_ones = {v for node in graph for v in node.outputs if v.name and static(v) is None}
    return [n for n in graph if not open_ones.isdisjoint(n.outputs) and open_ones.isdisjoint(operands(n))]


def _made(graph: ir.Graph) -> list[ir.Value]:
    return [value for node in graph.all_nodes() for value in node.outputs if value.name]
