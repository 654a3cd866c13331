"""Finding what a graph reads of token ids past the vectors that they become."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from onnxsal.graph.operands import computed_from, operands
from onnxsal.graph.program import values_by_name
from onnxsal.modalities.tokens.embedding import Embedding, is_whole
from onnxsal.modalities.tokens.past import Past
from onnxsal.model.asked import Asked
from onnxsal.model.living import living

_MOVED = frozenset({"Identity", "Cast", "Unsqueeze", "Squeeze", "Reshape", "Flatten"})


def past_of(graph: ir.Graph, asked: Asked, embedding: Embedding) -> Past:
    """Return what outputs are computed from of the ids themselves, beside what they become and how many there are.

    Those that are not computed from what they become do not count: they are left out.
    """
    values = values_by_name(graph)
    vectors = values[embedding.value]
    behind = computed_from(graph, [vectors])
    ends = [v for v in graph.outputs if v in behind and asked.head in (None, v.name)]
    read = living(graph, asked.head, ends=ends or None, without=vectors)
    reached: set[ir.Value | None] = {values[embedding.ids]}
    readers = list(_reading(graph, reached, vectors))
    if not any(v in reached and v in read for v in graph.outputs):
        return Past()
    return _told(graph, [node for node in readers if any(v in read for v in node.outputs)], values[embedding.ids])


def _reading(graph: ir.Graph, reached: set[ir.Value | None], vectors: ir.Value) -> Iterator[ir.Node]:
    """Yield what reads any of some values, and add what they become."""
    for node in graph:
        if node.op_type not in ("Shape", "Size") and not reached.isdisjoint(operands(node)):
            reached.update(v for v in node.outputs if v is not vectors)
            yield node


def _told(graph: ir.Graph, readers: list[ir.Node], ids: ir.Value) -> Past:
    """Return which ids are told apart, where nothing but comparisons with constants reads them."""
    own: set[ir.Value | None] = {ids}
    told = set[int]()
    for node in readers:
        if own.isdisjoint(operands(node)):
            continue
        if node.op_type in _MOVED and not node.domain and is_whole(node) and node.inputs[0] in own:
            own.update(node.outputs)
            continue
        numbers = _compared(node, own)
        if numbers is None:
            return Past(own=True)
        told |= numbers
    return Past(own=any(v in own for v in graph.outputs), told=frozenset(told))


def _compared(node: ir.Node, own: set[ir.Value | None]) -> set[int] | None:
    """Return the numbers that ids are compared with for being equal, None where something else is done with them."""
    others = [v for v in node.inputs if v not in own]
    if node.op_type != "Equal" or node.domain or len(others) != 1 or others[0] is None or others[0].is_graph_input():
        return None
    constant = ir.convenience.get_const_tensor(others[0])
    return None if constant is None else {int(n) for n in np.unique(constant.numpy())}
