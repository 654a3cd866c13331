"""Batch normalisation left in training mode, written out: ONNX Runtime's own gives other numbers in every run.

Where nobody reads the running mean and variance, its optimised graph lets the kernel write them over its inputs, and
takes them for the batch's; without names for these outputs it ends the process (1.32).
"""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.graph.attributes import attributes
from onnxsal.graph.infer import Study
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape


def write_out_training(graph: ir.Graph, known: Study) -> bool:
    """Write the graph's batch normalisations in training mode as means over the batch; return whether there was one."""
    found = [(node, rank) for node in graph if _trains(node) and (rank := _rank(node, known)) is not None]
    op = Tape(graph)
    for node, rank in found:
        x = node.inputs[0]
        if x is not None and x.dtype is None and (kind := known.dtype(x)) is not None:
            x.type = ir.TensorType(kind)
        _write_out(op, node, rank)
    if found:
        graph.sort()
    return bool(found)


def _trains(node: ir.Node) -> bool:
    mode = node.attributes.get("training_mode")
    return node.op_type == "BatchNormalization" and not node.domain and mode is not None and mode.as_int() != 0


def _rank(node: ir.Node, known: Study) -> int | None:
    x = node.inputs[0]
    shape = None if x is None else known.shape(x) or dims(x)
    return None if shape is None else len(shape)


def _write_out(op: Tape, node: ir.Node, rank: int) -> None:
    x, scale, bias, mean, variance = node.inputs[:5]
    if x is None:
        return
    given, axes = attributes(node), [axis for axis in range(rank) if axis != 1]
    centre = op.ReduceMean(x, axes, keepdims=1)
    apart = op.Sub(x, centre)
    spread = op.ReduceMean(op.Mul(apart, apart), axes, keepdims=1)
    normal = op.Div(apart, op.Sqrt(op.Add(spread, given["epsilon"])))
    shape = [1, -1, *[1] * (rank - 2)]
    made = [op.Add(op.Mul(normal, op.Reshape(scale, shape)), op.Reshape(bias, shape))]
    for before, now in ((mean, centre), (variance, spread)):
        kept, new = given["momentum"], op.Squeeze(now, axes)
        made.append(op.Add(op.Mul(before, kept), op.Mul(new, 1.0 - kept)))
    _replace(node, made)


def _replace(node: ir.Node, made: list[ir.Value]) -> None:
    """The new values take the names of the node's outputs; what nobody reads goes with the dead nodes."""
    for old, new in zip(node.outputs, made, strict=False):
        new.type, new.shape = old.type, old.shape
        if old.name:
            new.name, old.name = old.name, None
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    assert node.graph is not None
    node.graph.remove(node, safe=True)
