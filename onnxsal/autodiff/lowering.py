"""The standard's own ``ai.onnx.preview.training.Gradient``: each such node becomes the graph that computes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import onnx_ir as ir

from onnxsal.autodiff.registry import operands
from onnxsal.autodiff.walk import backward
from onnxsal.errors import ModelError, UnsupportedError, nearest
from onnxsal.graph import Trace, infer_shapes, normalise

DOMAIN = "ai.onnx.preview.training"


def lower_gradients(model: ir.Model) -> ir.Model:
    """Return the model with every Gradient node replaced by standard operators; the same model where it has none.

    A Gradient of a Gradient's output is a second derivative: nodes are replaced from the inputs down.

    Raises: ModelError: a node names a value that is not there. UnsupportedError: operators on the way have no rule, or
    the node stands inside a subgraph or a function.
    """
    if not any(map(_is_gradient, _all_nodes(model))):
        return model
    _refuse_nested(model)
    named = {name for node in model.graph if _is_gradient(node) for name in (*_names(node), _target(node))}
    work = normalise(model, keep=frozenset(named))
    while node := next(filter(_is_gradient, work.graph), None):
        _lower(work, node)
        work.graph.sort()
        infer_shapes(work)
    for graph in (work.graph, work):
        graph.opset_imports.pop(DOMAIN, None)
    return work


def _is_gradient(node: ir.Node) -> bool:
    return node.op_type == "Gradient" and node.domain == DOMAIN


def _all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    yield from model.graph.all_nodes()
    for function in model.functions.values():
        yield from function.all_nodes()


def _refuse_nested(model: ir.Model) -> None:
    own = set(model.graph)
    nested = [n.name or n.outputs[0].name for n in _all_nodes(model) if _is_gradient(n) and n not in own]
    if nested:
        raise UnsupportedError(
            f"Gradient {nested[0]!r} stands inside a subgraph or a function: it is lowered in the main graph only"
        )


def _names(node: ir.Node) -> list[str]:
    """The values that the target is a function of: those differentiated by, then the others."""
    zs = node.attributes.get("zs")
    return [*_differentiated(node), *(zs.as_strings() if zs is not None else ())]


def _differentiated(node: ir.Node) -> list[str]:
    xs = node.attributes.get("xs")
    if xs is None:
        raise ModelError(f"the model is not valid: Gradient {node.name!r} has no attribute 'xs'")
    return list(xs.as_strings())


def _target(node: ir.Node) -> str:
    y = node.attributes.get("y")
    if y is None:
        raise ModelError(f"the model is not valid: Gradient {node.name!r} has no attribute 'y'")
    return y.as_string()


def _lower(model: ir.Model, node: ir.Node) -> None:
    op = Trace(model)
    symbols = [_find(op, node, name) for name in _names(node)]
    if len(node.inputs) != len(symbols):
        raise ModelError(
            f"the model is not valid: Gradient {node.name!r} has {len(node.inputs)} inputs for the "
            f"{len(symbols)} values that its xs and zs name"
        )
    points = [symbol if given is None else given for symbol, given in zip(symbols, node.inputs, strict=True)]
    y = _find(op, node, _target(node))
    nodes = _between(op.graph, y, set(symbols))
    if points != symbols:
        y, nodes = _at(op, nodes, (y, symbols), points)
    xs = points[: len(_differentiated(node))]
    grads = backward(op, {y: op.full_like(y, 1)}, xs, nodes=nodes)
    for output, x, g in zip(node.outputs, xs, grads, strict=False):
        _take_place(op, output, op.zeros_like(x) if g is None else g)
    op.graph.remove(node, safe=True)


def _find(op: Trace, node: ir.Node, name: str) -> ir.Value:
    if name not in op:
        raise ModelError(
            f"the model is not valid: Gradient {node.name!r} names a value {name!r} that is not in its graph"
            f"{nearest(name, op.names())}"
        )
    return op[name]


def _between(graph: ir.Graph, y: ir.Value, independent: set[ir.Value]) -> list[ir.Node]:
    """Return the nodes that compute ``y`` from the independent values, in order; what those come from is not asked."""
    reach: set[ir.Value | None] = {y} - independent
    kept = []
    for node in reversed(list(graph)):
        if any(v in reach for v in node.outputs):
            kept.append(node)
            reach.update(v for v in operands(node) if v not in independent)
    return kept[::-1]


def _at(
    op: Trace, nodes: Sequence[ir.Node], ends: tuple[ir.Value, Sequence[ir.Value]], points: Sequence[ir.Value]
) -> tuple[ir.Value, list[ir.Node]]:
    """Return ``y`` computed again with other values in place of the independent ones, and the nodes that do so."""
    y, symbols = ends
    made = {v for node in nodes for v in node.outputs}
    view = ir.GraphView(list(dict.fromkeys(symbols)), [y] if y in made else [], nodes=nodes)
    copy = view.clone(allow_outer_scope_values=True)
    for stand_in, symbol in zip(copy.inputs, view.inputs, strict=True):
        stand_in.replace_all_uses_with(points[symbols.index(symbol)], replace_graph_outputs=True)
    copies = list(copy)
    result = copy.outputs[0] if y in made else points[symbols.index(y)] if y in symbols else y
    copy.outputs.clear()
    copy.remove(copies)
    _rename(op, copies)
    op.graph.extend(copies)
    return result, copies


def _rename(op: Trace, copies: Iterable[ir.Node]) -> None:
    for node in copies:
        node.name = op.unique(node.op_type)
        for value in node.outputs:
            value.name = op.unique(node.op_type) if value.name else value.name


def _take_place(op: Trace, output: ir.Value, g: ir.Value) -> None:
    """The gradient gets the output's name, and its readers."""
    if not output.name:
        return
    name, output.name = output.name, None
    copy = ir.Value(name=name, type=g.type, shape=g.shape)
    op.graph.append(ir.node("Identity", [g], outputs=[copy], name=op.unique("Identity")))
    output.replace_all_uses_with(copy, replace_graph_outputs=True)
