"""Whether everything between a layer and the score is linear, which is what CAM stands on."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from onnxsal.anatomy import Anatomy, Layer
from onnxsal.graph import Tape, dims
from onnxsal.graph.program import values_by_name

_LINEAR = frozenset({
    "GlobalAveragePool", "AveragePool", "ReduceMean", "ReduceSum", "Gemm", "MatMul", "Conv", "Flatten", "Reshape",
    "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Cast", "QuantizeLinear", "DequantizeLinear",
    "BatchNormalization", "Gather", "GatherElements", "Shape", "Slice", "Concat", "Einsum", "ConvTranspose", "Neg",
    "Sum", "Split", "Expand",
})  # fmt: skip
_WITH_CONSTANT = frozenset({"Add", "Sub", "Mul", "Div"})
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"})


def non_linear(op: Tape, source: ir.Value, score: ir.Value) -> ir.Node | None:
    """Return the first node on the way from ``source`` to ``score`` that is not linear in it, or None."""
    return _blocking(list(op.graph), source, score)


def linear_layer(anatomy: Anatomy) -> Layer | None:
    """Return the earliest layer from which everything to the logit is linear, or None."""
    values = values_by_name(anatomy.model.graph)
    nodes, logit = list(anatomy.model.graph), values[anatomy.head.logit]
    chosen = None
    for layer in reversed(anatomy.layers.found):
        if _blocking(nodes, values[layer.name], logit) is not None:
            break
        chosen = layer
    return chosen


def is_pooled(nodes: Iterable[ir.Node], source: ir.Value, target: ir.Value) -> bool:
    """Return whether something on the way from a layer to the logit pools, so that all positions weigh alike.

    Without, as with Flatten in front of a Gemm, each position has weights of its own, and their sum is none's.
    """
    reached, pooled = {source}, False
    for node in nodes:
        if any(v in reached for v in node.inputs):
            reached.update(node.outputs)
            pooled = pooled or _pools(node)
        if target in node.outputs:
            break
    return pooled


def _pools(node: ir.Node) -> bool:
    if node.op_type == "AveragePool":
        return all(n == 1 or not isinstance(n, int) for n in (dims(node.outputs[0]) or ())[2:])
    return node.op_type in ("GlobalAveragePool", "ReduceMean", "ReduceSum")


def _blocking(nodes: list[ir.Node], source: ir.Value, target: ir.Value) -> ir.Node | None:
    needed: set[ir.Value] = {target}
    for node in reversed(nodes):
        if any(v in needed for v in node.outputs) and source not in node.outputs:
            needed.update(v for v in node.inputs if v is not None)
    reached: set[ir.Value | None] = {source}
    for node in nodes:
        moved = [v for v in node.inputs if v in reached]
        if node.op_type == "Div" and node.inputs[1] in reached:
            return node
        if moved and any(v in needed for v in node.outputs):
            if not _is_linear(node, len(moved)):
                return node
            reached.update(node.outputs)
    return None


def _is_linear(node: ir.Node, moved: int) -> bool:
    if node.op_type in _WITH_CONSTANT:
        return moved == 1 or node.op_type in ("Add", "Sub")
    return node.op_type in _LINEAR and (moved == 1 or node.op_type not in _PRODUCTS)
