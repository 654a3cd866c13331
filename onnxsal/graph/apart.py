"""What onnxsal adds to a model reads no DequantizeLinear of the model's: it dequantises for itself.

The forward pass then runs as in the deployed file, whatever stands beside it. Behind a second reader ONNX Runtime gives
up its integer kernels; in a branch or a loop that reads one from outside, some versions refuse to load, or die.
A sum that a LayerNormalization alone reads is computed anew too: ONNX Runtime makes one operator of both, which rounds
otherwise than the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx_ir as ir

from onnxsal.graph.cut import Use, feed, placed
from onnxsal.graph.dequantised import dequantised
from onnxsal.graph.moved import is_mover
from onnxsal.graph.residual import sums_of_norms
from onnxsal.graph.tape import Tape


def read_apart(op: Tape, model: Collection[ir.Node]) -> None:
    """Let nodes other than the ``model``'s compute anew what they read from its DequantizeLinears and fused sums.

    Those in bodies do so past what only moves numbers as well: the runtime carries quantisers past it.
    """
    bodies = {inner: body for node in op.graph if node not in model for inner, body in _bodies(node)}
    anew = _carried(op.graph, model) | sums_of_norms(op.graph, model, bodies)
    for value, node in anew.items():
        for place, uses in _ours(value, op.graph, model, bodies).items():
            if place is not op.graph or not is_mover(node):
                _redirect(op.within(place), value, uses, anew)


def _is_dequantiser(node: ir.Node) -> bool:
    return node.op_type == "DequantizeLinear" and not node.domain


def _carried(graph: ir.Graph, model: Collection[ir.Node]) -> dict[ir.Value, ir.Node]:
    """Return what the model's DequantizeLinears give, and what only moves that, with their nodes."""
    found: dict[ir.Value, ir.Node] = {}
    for node in graph:
        if node in model and (_is_dequantiser(node) or (is_mover(node) and node.inputs[0] in found)):
            found[node.outputs[0]] = node
    return found


def _bodies(node: ir.Node) -> Iterator[tuple[ir.Graph, ir.Graph]]:
    """Yield every graph inside a node, with the outermost that holds it: what a loop reads is computed once."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            body = attribute.as_graph()
            yield from ((inner, body) for inner in (body, *body.subgraphs()))


def _ours(
    value: ir.Value, top: ir.Graph, model: Collection[ir.Node], bodies: dict[ir.Graph, ir.Graph]
) -> dict[ir.Graph, list[Use]]:
    """Return what reads a value and is not the model's, by the graph in which it is computed anew."""
    found: dict[ir.Graph, list[Use]] = {}
    for reader, index in value.uses():
        graph = reader.graph
        place = bodies.get(graph) if isinstance(graph, ir.Graph) else None
        if graph is top and reader not in model:
            place = top
        if place is not None:
            found.setdefault(place, []).append((reader, index))
    return found


def _redirect(op: Tape, value: ir.Value, uses: list[Use], known: Collection[ir.Value]) -> None:
    maker = value.producer()
    with placed(op.graph, after=maker if maker is not None and maker.graph is op.graph else None):
        copy = _anew(op, value, known)
    if copy is not None:
        feed(uses, copy)


def _anew(op: Tape, value: ir.Value, known: Collection[ir.Value]) -> ir.Value | None:
    """A sum becomes a Sum: a second Add of the same numbers would be made one with the first."""
    node = value.producer()
    assert node is not None
    if _is_dequantiser(node):
        return dequantised(op, node)
    sources = [_anew(op, v, known) if v is not None and v in known else v for v in node.inputs]
    if any(new is None and old is not None for old, new in zip(node.inputs, sources, strict=True)):
        return None
    given = {name: attribute.value for name, attribute in node.attributes.items()}
    name = "Sum" if node.op_type == "Add" else node.op_type
    copy: ir.Value = op.emit(name, *sources, **given)
    copy.shape = None if value.shape is None else value.shape.copy()
    return copy
