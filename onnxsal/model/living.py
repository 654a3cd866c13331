"""What outputs are computed from: which values and nodes of a graph are alive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """Yield the values that a node reads, in its bodies too."""
    yield from (v for v in node.inputs if v is not None)
    for attribute in node.attributes.values():
        if attribute.is_ref() or attribute.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            continue
        bodies = [attribute.as_graph()] if attribute.type == ir.AttributeType.GRAPH else attribute.as_graphs()
        for body in bodies:
            yield from (v for inner in body.all_nodes() for v in inner.inputs if v is not None)
            yield from body.outputs


def living(
    graph: ir.Graph, head: str | None, *, ends: Sequence[ir.Value] | None = None, without: ir.Value | None = None
) -> set[ir.Value]:
    """Return the values that outputs are computed from, themselves among them.

    Args: head: the output that counts, by default all. ends: other values in their place. without: a value that is
    taken as given: what it is computed from does not count for that.
    """
    known = [v for v in graph.outputs if head in (None, v.name)] or list(graph.outputs)
    found = set(known if ends is None else ends) - {without}
    for node in reversed(list(graph)):
        if any(v in found for v in node.outputs):
            found.update(v for v in reads(node) if v is not without)
    return found


def computed_from(graph: ir.Graph, sources: Sequence[ir.Value]) -> set[ir.Value]:
    """Return the values that some are read for, themselves among them."""
    reached = set(sources)
    for node in graph if reached else ():
        if any(v in reached for v in reads(node)):
            reached.update(node.outputs)
    return reached


def remove_inputs(graph: ir.Graph, gone: Sequence[ir.Value]) -> tuple[str, ...]:
    """Take inputs out of a graph, with all nodes that no output needs; return the outputs that went with them.

    Args: gone: inputs that the outputs that count are not computed from.
    """
    reached = computed_from(graph, gone)
    lost = remove_outputs(graph, [v for v in graph.outputs if v in reached])
    for value in gone:
        graph.inputs.remove(value)
    return lost


def remove_outputs(graph: ir.Graph, gone: Sequence[ir.Value]) -> tuple[str, ...]:
    """Take outputs out of a graph, with all nodes that no other one needs; return their names."""
    if gone:
        graph.outputs[:] = [v for v in graph.outputs if v not in gone]
    alive = living(graph, None)
    graph.remove([node for node in graph if not any(v in alive for v in node.outputs)], safe=True)
    return tuple(str(v.name) for v in gone)
