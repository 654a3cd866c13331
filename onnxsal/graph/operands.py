"""What a node reads: its inputs, and what its bodies refer to from outside."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir


def operands(node: ir.Node) -> list[ir.Value | None]:
    """Return a node's inputs, then the outer values that its subgraphs refer to."""
    return [*node.inputs, *captured(node)] if any(_graphs(node)) else list(node.inputs)


def captured(node: ir.Node) -> list[ir.Value]:
    """Return the values from outside that the subgraphs of a node refer to, each once, in order."""
    found: dict[ir.Value, None] = {}
    for graph in _graphs(node):
        inside = {*graph.inputs, *graph.initializers.values()}
        for inner in graph:
            found.update(dict.fromkeys(v for v in operands(inner) if v is not None and v not in inside))
            inside.update(inner.outputs)
        found.update(dict.fromkeys(v for v in graph.outputs if v not in inside))
    return [v for v in found if v is not None]


def _graphs(node: ir.Node) -> list[ir.Graph]:
    return [a.as_graph() for a in node.attributes.values() if not a.is_ref() and a.type == ir.AttributeType.GRAPH]


def computed_from(graph: ir.Graph, sources: Iterable[ir.Value]) -> set[ir.Value | None]:
    """Return the values that some are read for, in bodies too, themselves among them."""
    reached: set[ir.Value | None] = set(sources)
    for node in graph if reached else ():
        if not reached.isdisjoint(operands(node)):
            reached.update(node.outputs)
    return reached
