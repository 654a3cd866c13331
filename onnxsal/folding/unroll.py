"""Loops of a known number of turns, written out: one copy of the body behind the other.

What is the same in every turn is computed once, in front of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.folding.graft import copied
from onnxsal.graph import Tape
from onnxsal.graph.cut import placed
from onnxsal.graph.infer import Study
from onnxsal.graph.names import node_title
from onnxsal.graph.operands import captured, operands
from onnxsal.graph.scopes import bodies
from onnxsal.graph.tape import RANDOM

MOST = 256
"""Turns that are written out, of all loops together: each is a copy of its body, which most often is a model."""

INT64 = ir.DataType.INT64


@dataclass(frozen=True)
class _Turns:
    """A loop, and how often its body is run."""

    node: ir.Node
    count: int

    @property
    def body(self) -> ir.Graph:
        return self.node.attributes["body"].as_graph()


def unroll(graph: ir.Graph, known: Study, most: int = MOST) -> int:
    """Write out the outermost loops of a graph and of the branches in it, in place; return how many turns these were.

    Args: most: turns that may be written out.
    Raises: UnsupportedError: how many turns a loop has depends on what goes in, or there are too many.
    """
    loops = _loops(graph, known)
    turns = sum(each.count for each in loops)
    if turns > most:
        worst = max(loops, key=lambda each: each.count)
        raise UnsupportedError(
            f"unroll: {turns} turns of loops would be written out, and a file may have {MOST} ({worst.count} are "
            f"of {node_title(worst.node)}): draw fewer samples, or more of them in a turn (-O batch_size=)"
        )
    op = Tape(graph)
    for each in loops:
        assert each.node.graph is not None
        _write_out(op.within(each.node.graph), each)
    return turns


def _loops(graph: ir.Graph, known: Study) -> list[_Turns]:
    found = []
    for node in graph:
        if node.op_type == "Loop" and not node.domain:
            found.append(_Turns(node, _count(node, known)))
            continue
        for body in bodies(node):
            found.extend(_loops(body, known))
    return found


def _count(node: ir.Node, known: Study) -> int:
    """Return how many turns a loop has. Raises: UnsupportedError: that is not known."""
    count, go = [*node.inputs, None, None][:2]
    turns = None if count is None else known.constant(count)
    starts = go is None or ((start := known.constant(go)) is not None and bool(start.reshape(-1)[0]))
    if turns is None or not starts or not _goes_on(node.attributes["body"].as_graph()):
        raise UnsupportedError(
            f"unroll: how many turns {node_title(node)} has depends on what goes in: fix the batch "
            "(--batch N), or leave unroll out"
        )
    return int(turns.reshape(-1)[0])


def _goes_on(body: ir.Graph) -> bool:
    """Whether a body never ends its loop: it hands on what it was told, or true."""
    value: ir.Value | None = body.outputs[0]
    while value is not None and (node := value.producer()) is not None and node.op_type == "Identity":
        value = node.inputs[0]
    if value is None or value is body.inputs[1]:
        return value is not None
    return value.const_value is not None and bool(value.const_value.numpy().reshape(-1)[0])


def _write_out(op: Tape, turns: _Turns) -> None:
    node = turns.node
    states: list[ir.Value | None] = list(node.inputs[2:])
    with placed(op.graph, before=node):
        once = _once(op, turns.body, node)
        rows: list[list[ir.Value]] = [[] for _ in node.outputs[len(states) :]]
        for turn in range(turns.count):
            found = _turn(op, turns.body, once, op.const(turn, INT64), states)
            lead = 1 + len(states)
            states = [*found[1:lead]]
            for row, value in zip(rows, found[lead:], strict=True):
                row.append(op.Unsqueeze(value, [0]))
        stacked = [op.Concat(*row, axis=0) for row in rows]
        made = [op.copy(value) for value in (*states, *stacked) if value is not None]
    ir.convenience.replace_nodes_and_values(op.graph, node, [node], [], list(node.outputs), made)


def _once(op: Tape, body: ir.Graph, node: ir.Node) -> dict[ir.Value, ir.Value]:
    """Append what every turn computes alike; return where values around the body and these are found."""
    mapped = {value: value for value in captured(node)}
    for value in body.initializers.values():
        tensor = value.const_value
        assert tensor is not None
        mapped[value] = op.weight(tensor)
    mapped.update({value: op.const(np.array(True)) for value in body.inputs[1:2]})
    for each in body:
        read = [v for v in operands(each) if v is not None]
        if each.op_type not in RANDOM and read and all(v in mapped for v in read):
            copied(op, each, mapped)
    return mapped


def _turn(
    op: Tape, body: ir.Graph, once: Mapping[ir.Value, ir.Value], number: ir.Value, states: list[ir.Value | None]
) -> list[ir.Value]:
    """Append one turn; return what the body puts out."""
    mapped = dict(once)
    given = [number, mapped[body.inputs[1]], *states]
    mapped.update({inner: value for inner, value in zip(body.inputs, given, strict=True) if value is not None})
    for each in body:
        if any(v not in mapped for v in each.outputs if v.name):
            copied(op, each, mapped)
    return [mapped[value] for value in body.outputs]
