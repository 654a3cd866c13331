"""Integer activations at the end of a model: opened, so that there are float scores in front of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx_ir as ir

from onnxsal.graph import Tape, dims, infer_shapes
from onnxsal.tasks.outputs import behind

_OPENED = {"QLinearSoftmax": "Softmax", "QLinearSigmoid": "Sigmoid"}
"""ONNX Runtime's integer activations: all have the inputs x, its scale and zero point, those of the result."""


def open_heads(model: ir.Model) -> ir.Model:
    """Return the model with integer activations that end it written as Dequantize-, float and QuantizeLinear.

    Probabilities of 256 steps cannot be told apart near 0 and 1, and the logit behind them would stay integer. Only
    the last operator changes: what it reads is as the file computes it.
    """
    if not any(_closed(model.graph)):
        return model
    work = model.clone()
    op = Tape(work.graph)
    for node in list(_closed(work.graph)):
        _open(op, node)
    work.graph.sort()
    infer_shapes(work)
    return work


def _closed(graph: ir.Graph) -> Iterator[ir.Node]:
    """Yield the integer activations that are only dressed as outputs."""
    ends = (list(behind(output))[-1].producer() for output in graph.outputs)
    yield from (n for n in dict.fromkeys(ends) if n is not None and n.op_type in _OPENED and _is_over_last(n))


def _is_over_last(node: ir.Node) -> bool:
    """Before opset 13 a Softmax was over all axes from its own on; then they have to be one, as they are in a head."""
    if node.op_type != "QLinearSoftmax":
        return True
    axis, opset = (node.attributes[name].as_int() if name in node.attributes else None for name in ("axis", "opset"))
    shape = dims(node.inputs[0]) if node.inputs[0] is not None else None
    return shape is not None and ((opset or 13) >= 13 or axis in (-1, len(shape) - 1))


def _open(op: Tape, node: ir.Node) -> None:
    x, x_scale, x_zero, scale, zero = node.inputs[:5]
    name = _OPENED[node.op_type]
    axis = node.attributes.get("axis")
    own: dict[str, Any] = {"axis": axis.as_int()} if axis is not None and name == "Softmax" else {}
    y = op.QuantizeLinear(op.emit(name, op.DequantizeLinear(x, x_scale, x_zero), **own), scale, zero)
    old = node.outputs[0]
    y.name, old.name, y.type, y.shape = old.name, None, old.type, old.shape
    old.replace_all_uses_with(y, replace_graph_outputs=True)
    assert node.graph is not None
    node.graph.remove(node, safe=True)
