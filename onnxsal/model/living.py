"""What outputs are computed from: which values and nodes of a graph are alive."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxsal.graph.operands import computed_from, operands


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
            found.update(v for v in operands(node) if v is not None and v is not without)
    return found


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
