"""Branches that are decided: an If whose condition is a constant gives way to what it would run.

So does one of which a branch cannot be: exports that squeeze an axis "if its size is 1" leave a value without a number
of dimensions where that size is open, and what follows takes only one of the two.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxsal.errors import ModelError
from onnxsal.graph.infer import Study, contradicts, study
from onnxsal.graph.initializers import add_initializer, lift_constants
from onnxsal.graph.program import values_by_name

_BRANCHES = ("then_branch", "else_branch")


def settle_branches(graph: ir.Graph, known: Study) -> bool:
    """Put the nodes of every decided If in its place, in place; return whether there was one."""
    decided = [
        (n, c)
        for n in graph
        if _is_if(n) and n.inputs[0] is not None and (c := known.constant(n.inputs[0])) is not None
    ]
    for node, condition in decided:
        name = "then_branch" if condition.reshape(-1)[0] else "else_branch"
        _splice(graph, node, node.attributes[name].as_graph())
    return bool(decided)


def take_branch(graph: ir.Graph, node: ir.Node, condition: bool) -> None:
    """Put one branch in the place of its If, in place; values inside keep the names that no other one has."""
    _splice(graph, node, node.attributes[_BRANCHES[0 if condition else 1]].as_graph(), set(values_by_name(graph)))


def settle_impossible(model: ir.Model, known: Study) -> bool:
    """Put a branch in the place of its If, in place, where the other fails whenever it is run; return whether one was.

    Only branches between which the number of dimensions is open are looked at. A branch fails if shapes contradict
    each other behind it, with several images and with one.
    """
    nodes = list(model.graph)
    open_ended = [i for i, n in enumerate(nodes) if _is_if(n) and any(known.shape(v) is None for v in n.outputs)]
    for i in open_ended:
        possible = [name for name in _BRANCHES if not _fails(model, i, name)]
        if len(possible) == 1:
            _splice(model.graph, nodes[i], nodes[i].attributes[possible[0]].as_graph())
            return True
    return False


def _fails(model: ir.Model, index: int, name: str) -> bool:
    trial = model.clone().graph
    node = trial[index]
    _splice(trial, node, node.attributes[name].as_graph())
    lift_constants(trial)
    while not contradicts(trial):
        try:
            settled = settle_branches(trial, study(trial))
        except ModelError:  # it fails at some sizes only
            return False
        if not settled:
            return False
        lift_constants(trial)
    return True


def _is_if(node: ir.Node) -> bool:
    return node.op_type == "If" and not node.domain


def _splice(graph: ir.Graph, node: ir.Node, branch: ir.Graph, taken: Collection[str] | None = None) -> None:
    """Names of different branches may be the same: those inside take the If's name as a prefix.

    Args: taken: the only names of values that do.
    """
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
        inner.name = inner.name if taken is not None and inner.name else f"{stem}/{i}"
        for value in inner.outputs:
            if value.name and (taken is None or value.name in taken):
                value.name = f"{stem}/{value.name}"
    copies = [ir.node("Identity", [v], name=f"{stem}/{i}") for i, v in enumerate(results, len(nodes))]
    made = [copy.outputs[0] for copy in copies]
    ir.convenience.replace_nodes_and_values(graph, node, [node], [*nodes, *copies], list(node.outputs), made)
