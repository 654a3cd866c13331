"""The standard's own ``ai.onnx.preview.training.Gradient``: each such node becomes the graph that computes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from onnxsal.autodiff.walk import backward
from onnxsal.errors import ModelError, UnsupportedError, nearest
from onnxsal.graph import Trace, infer_shapes, normalise
from onnxsal.graph.check import model_errors
from onnxsal.graph.operands import operands
from onnxsal.graph.program import values_by_name
from onnxsal.graph.scopes import bodies, rename_inside

DOMAIN = "ai.onnx.preview.training"


def lower_gradients(model: ir.Model) -> ir.Model:
    """Return the model with every Gradient node replaced by standard operators; the same model where it has none.

    A Gradient of a Gradient's output is a second derivative: nodes are replaced from the inputs down.

    Raises: ModelError: a node names a value that is not there. UnsupportedError: operators on the way have no rule, or
    the node stands inside a subgraph.
    """
    if not any(_is_gradient(node) for graph in _graphs(model) for node in graph.all_nodes()):
        return model
    work = model.clone()
    named = {name for graph in _graphs(work) for name in _bind(graph)}
    work = normalise(work, keep=frozenset(named))
    while node := next(filter(_is_gradient, work.graph), None):
        _lower(work, node)
        work.graph.sort()
        infer_shapes(work)
    work.graph.opset_imports.pop(DOMAIN, None)
    return work


def _graphs(model: ir.Model) -> list[ir.Graph]:
    return [model.graph, *(function.graph for function in model.functions.values())]


def _is_gradient(node: ir.Node) -> bool:
    return node.op_type == "Gradient" and node.domain == DOMAIN


def _bind(graph: ir.Graph) -> Iterator[str]:
    """Make the values that Gradient nodes name inputs of theirs, so that they outlive inlining; yield the names."""
    values = values_by_name(graph)
    _refuse_nested(graph)
    for node in filter(_is_gradient, list(graph)):
        names = [*_strings(node, "xs"), *_strings(node, "zs")]
        if len(node.inputs) != len(names):
            raise ModelError(
                f"the model is not valid: Gradient {node.name!r} has {len(node.inputs)} inputs for the "
                f"{len(names)} values that its xs and zs name"
            )
        names.append(node.attributes["y"].as_string())
        start = len(node.inputs)
        node.resize_inputs(start + len(names))
        for at, name in enumerate(names, start):
            node.replace_input_with(at, _find(values, node, name))
        yield from names
    with model_errors("the model is not valid: a Gradient is of what is made of its own output"):
        graph.sort()


def _strings(node: ir.Node, name: str) -> list[str]:
    attribute = node.attributes.get(name)
    return [] if attribute is None else list(attribute.as_strings())


def _find(values: dict[str, ir.Value], node: ir.Node, name: str) -> ir.Value:
    if name not in values:
        raise ModelError(
            f"the model is not valid: Gradient {node.name!r} names a value {name!r} that is not in its graph"
            f"{nearest(name, values)}"
        )
    return values[name]


def _refuse_nested(graph: ir.Graph) -> None:
    own = set(graph)
    nested = [n.name or n.outputs[0].name for n in graph.all_nodes() if _is_gradient(n) and n not in own]
    if nested:
        raise UnsupportedError(f"Gradient {nested[0]!r} stands inside a subgraph: it is lowered in the main graph only")


def _lower(model: ir.Model, node: ir.Node) -> None:
    """The node's inputs are the points to differentiate at, the independent values themselves, and the target."""
    op, bound = Trace(model), [v for v in node.inputs if v is not None]
    count = len(bound) // 2
    points, symbols, y = bound[:count], bound[count:-1], bound[-1]
    nodes = _between(op.graph, y, set(symbols))
    if points != symbols:
        y, nodes = _at(op, nodes, y, dict(zip(symbols, points, strict=True)))
    xs = points[: len(_strings(node, "xs"))]
    grads = backward(op, {y: op.full_like(y, 1)}, xs, nodes=nodes)
    for output, x, g in zip(node.outputs, xs, grads, strict=False):
        _take_place(op, output, op.zeros_like(x) if g is None else g)
    op.graph.remove(node, safe=True)


def _between(graph: ir.Graph, y: ir.Value, independent: set[ir.Value]) -> list[ir.Node]:
    """Return the nodes that compute ``y`` from the independent values, in order; what those come from is not asked."""
    reach = {y} - independent
    kept = []
    for node in reversed(list(graph)):
        if any(v in reach for v in node.outputs):
            kept.append(node)
            reach.update(v for v in operands(node) if v is not None and v not in independent)
    return kept[::-1]


def _at(
    op: Trace, nodes: Sequence[ir.Node], y: ir.Value, points: Mapping[ir.Value, ir.Value]
) -> tuple[ir.Value, list[ir.Node]]:
    """Return ``y`` computed again with other values in place of the independent ones, and the nodes that do so."""
    made = {v for node in nodes for v in node.outputs}
    if y not in made:
        return points.get(y, y), []
    outer = dict.fromkeys(v for node in nodes for v in operands(node) if v is not None and v not in made)
    copy = ir.GraphView(list(outer), [y], nodes=nodes).clone()
    for stand_in, value in zip(copy.inputs, outer, strict=True):
        stand_in.replace_all_uses_with(points.get(value, value))
    copies, result = list(copy), copy.outputs[0]
    copy.outputs.clear()
    copy.remove(copies)
    _rename(op, copies)
    op.graph.extend(copies)
    return result, copies


def _rename(op: Trace, copies: Sequence[ir.Node]) -> None:
    for node in copies:
        node.name = op.unique(node.op_type)
        for value in node.outputs:
            value.name = op.unique(node.op_type) if value.name else value.name
        for body in bodies(node):
            rename_inside(body, op.unique)


def _take_place(op: Trace, output: ir.Value, g: ir.Value) -> None:
    """The gradient gets the output's name, and its readers."""
    if not output.name:
        return
    name, output.name = output.name, None
    copy = ir.Value(name=name, type=g.type, shape=g.shape)
    op.graph.append(ir.node("Identity", [g], outputs=[copy], name=op.unique("Identity")))
    output.replace_all_uses_with(copy, replace_graph_outputs=True)
