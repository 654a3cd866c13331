"""Branches that are decided: an If whose condition is a constant gives way to what it would run."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.graph.infer import Study
from onnxsal.graph.initializers import add_initializer


def settle_branches(graph: ir.Graph, known: Study) -> bool:
    """Put the nodes of every decided If in its place, in place; return whether there was one."""
    nodes = [n for n in graph if n.op_type == "If" and not n.domain]
    decided = [(n, c) for n in nodes if n.inputs[0] is not None and (c := known.constant(n.inputs[0])) is not None]
    for node, condition in decided:
        name = "then_branch" if condition.reshape(-1)[0] else "else_branch"
        _splice(graph, node, node.attributes[name].as_graph())
    return bool(decided)


def _splice(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> None:
    """Names of different branches may be the same: those inside take the If's name as a prefix."""
    stem = f"sal/branch/{node.outputs[0].name}"
    for constant in list(branch.initializers.values()):
        if constant.const_value is not None:
            constant.replace_all_uses_with(
                add_initializer(graph, f"{stem}/{constant.name}", constant.const_value), replace_graph_outputs=True
            )
    results, nodes = list(branch.outputs), list(branch)
    branch.outputs.clear()
    branch.remove(nodes)
    for i, inner in enumerate(nodes):
        inner.name = f"{stem}/{i}"
        for value in inner.outputs:
            value.name = f"{stem}/{value.name}" if value.name else value.name
    copies = [ir.node("Identity", [v], name=f"{stem}/{i}") for i, v in enumerate(results, len(nodes))]
    made = [copy.outputs[0] for copy in copies]
    ir.convenience.replace_nodes_and_values(graph, node, [node], [*nodes, *copies], list(node.outputs), made)
