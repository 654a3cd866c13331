"""Rows of a quantised table that are moved before they become floats: floats first, which are the same numbers."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.graph import dims

_MOVERS = frozenset({"Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity"})


def floats_first(model: ir.Model) -> ir.Model:
    """Return a model in which looked-up rows are dequantised once, ahead of what moves them; itself where they are.

    Quantisers dequantise behind a Transpose what they leave as integers ahead of it, so that no one value of floats is
    what ids become. One scale for all numbers goes past whatever only moves them, bit for bit.
    """
    if _first(model.graph) is None:
        return model
    work = model.clone()
    while (node := _first(work.graph)) is not None:
        _swap(work.graph, node)
    work.graph.sort()
    return work


def _first(graph: ir.Graph) -> ir.Node | None:
    return next((node for node in graph if _is_moved(node)), None)


def _is_moved(node: ir.Node) -> bool:
    if node.op_type != "DequantizeLinear" or node.domain or dims(node.inputs[1] or ir.Value()) not in ((), (1,)):
        return False
    maker = _maker(node)
    moved = _moves(maker)
    while _moves(maker):
        maker = _maker(maker)
    if not moved or maker is None or maker.op_type != "Gather" or maker.domain:
        return False
    table, ids = maker.inputs[:2]
    return table is not None and table.is_initializer() and _of_inputs(ids)


def _of_inputs(ids: ir.Value | None) -> bool:
    """Whether ids are computed from what a file takes, and not from how long it is, as distances in a text are."""
    left, seen = [ids], set[ir.Value]()
    while left:
        value = left.pop()
        if value is None or value in seen or value.is_initializer():
            continue
        if value.is_graph_input():
            return True
        seen.add(value)
        node = value.producer()
        if node is not None and node.op_type not in ("Shape", "Size"):
            left.extend(node.inputs)
    return False


def _moves(node: ir.Node | None) -> bool:
    return node is not None and node.op_type in _MOVERS and not node.domain


def _maker(node: ir.Node | None) -> ir.Node | None:
    value = None if node is None else node.inputs[0]
    return None if value is None else value.producer()


def _swap(graph: ir.Graph, node: ir.Node) -> None:
    """Let what is moved be what was dequantised, under the name that floats had behind the move."""
    mover, old = _maker(node), node.outputs[0]
    assert mover is not None
    moved = ir.node(
        mover.op_type, [_dequantised(graph, node, mover), *mover.inputs[1:]], mover.attributes, name=node.name
    )
    graph.insert_before(node, moved)
    new = moved.outputs[0]
    new.type, new.shape = old.type, old.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    new.name = old.name
    if not mover.outputs[0].uses() and not mover.outputs[0].is_graph_output():
        graph.remove(mover, safe=True)


def _dequantised(graph: ir.Graph, node: ir.Node, mover: ir.Node) -> ir.Value:
    """Return what stands in front of a move in floats already, as they are made behind it, or make them."""
    whole, rest = mover.inputs[0], tuple(node.inputs[1:])
    assert whole is not None
    for each in whole.consumers():
        if each.op_type == "DequantizeLinear" and not each.domain and tuple(each.inputs[1:]) == rest:
            return each.outputs[0]
    made = ir.node("DequantizeLinear", [whole, *rest], node.attributes, name=f"sal/first/{node.name}")
    graph.insert_before(node, made)
    made.outputs[0].name, made.outputs[0].type = f"sal/first/{node.outputs[0].name}", node.outputs[0].type
    return made.outputs[0]
