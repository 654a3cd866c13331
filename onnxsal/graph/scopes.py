"""Names over nested scopes: a name stands for one value in a graph and in every body inside it.

The format asks for that (a model is in single static assignment form over all its scopes), ``onnx_ir`` does not: it
goes by the values themselves. So whatever copies bodies, or puts graphs together, gives new names.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import onnx_ir as ir

PREFIX = "sal/"
"""Every name that onnxsal gives starts with this; the user's own names stay as they are."""

Fresh = Callable[[str], str]
"""From a stem to a name that nothing has yet."""


def bodies(node: ir.Node) -> list[ir.Graph]:
    """Return the graphs that a node holds, without those inside them."""
    own = [a for a in node.attributes.values() if not a.is_ref()]
    listed = [g for a in own if a.type == ir.AttributeType.GRAPHS for g in a.as_graphs()]
    return [a.as_graph() for a in own if a.type == ir.AttributeType.GRAPH] + listed


def first_free(graph: ir.Graph) -> int:
    """Return the number from which on ``sal/<stem>_<number>`` is free in the graph and in all bodies inside it."""
    names = itertools.chain(_names(graph), (n.name or "" for n in graph.all_nodes()))
    tails = (name.rsplit("_", 1)[-1].split(":")[0] for name in names if name.startswith(PREFIX))
    return max((int(t) for t in tails if t.isdecimal()), default=-1) + 1


def _names(graph: ir.Graph) -> Iterator[str]:
    for each in (graph, *graph.subgraphs()):
        yield from (v.name or "" for v in each.inputs)
        yield from each.initializers
    for node in graph.all_nodes():
        yield from (v.name or "" for v in node.outputs)


def rename_inside(graph: ir.Graph, fresh: Fresh) -> None:
    """Give everything that a body holds, and the bodies inside it, new names: it is a copy of another."""
    for value in _held(graph):
        value.name = fresh(_stem(value))
    for node in graph:
        node.name = fresh(node.op_type)
        for body in bodies(node):
            rename_inside(body, fresh)


def separate_names(graph: ir.Graph, fresh: Fresh) -> None:
    """Give a value that is called like another of its graph, or of one around it, a new name, in place.

    A graph's inputs, outputs and weights keep their names before others do, and a graph before its bodies.
    """
    _separate(graph, {}, fresh)


def _separate(graph: ir.Graph, outer: dict[str, ir.Value], fresh: Fresh) -> None:
    known = dict(outer)
    for value in [*graph.inputs, *graph.initializers.values(), *graph.outputs, *_held(graph)]:
        if value.name and known.setdefault(value.name, value) is not value:
            value.name = fresh(_stem(value))
            known[value.name] = value
    for node in graph:
        for body in bodies(node):
            _separate(body, known, fresh)


def _held(graph: ir.Graph) -> list[ir.Value]:
    """A graph's own values, each once; one that is left out has no name and needs none."""
    made = (v for node in graph for v in node.outputs if v.name)
    return list(dict.fromkeys([*graph.inputs, *graph.initializers.values(), *made]))


def _stem(value: ir.Value) -> str:
    node = value.producer()
    return "in" if node is None else node.op_type
