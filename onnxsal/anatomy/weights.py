"""Weights: what a network has learned, and in front of which operators that take it a value lies."""

from __future__ import annotations

import onnx_ir as ir

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "QLinearMatMul", "MatMulInteger",
                       "ConvInteger", "FusedConv", "FusedMatMul", "FusedGemm", "QGemm", "MatMulIntegerToFloat",
                       "DynamicQuantizeMatMul", "MatMulNBits"})  # fmt: skip


def weighted_below(nodes: list[ir.Node], logit: ir.Value) -> set[ir.Value]:
    """Return the values from which the logit is reached through at least one operator with weights."""
    reach: dict[ir.Value, bool] = {logit: False}
    for node in reversed(nodes):
        found = [reach[v] for v in node.outputs if v in reach]
        if found:
            through = any(found) or has_weights(node)
            for value in node.inputs:
                if value is not None:
                    reach[value] = reach.get(value, False) or through
    return {value for value, through in reach.items() if through}


def has_weights(node: ir.Node) -> bool:
    """Return whether a node is one that takes a weight."""
    if node.op_type not in _WEIGHTED:
        return False
    return any(_is_weight(v) for v in node.inputs[1:])


def _is_weight(value: ir.Value | None) -> bool:
    """An initializer, or one that is dequantised, cast, reshaped or transposed on the way."""
    while value is not None and value.const_value is None:
        node = value.producer()
        if node is None or node.op_type not in ("DequantizeLinear", "Cast", "Transpose", "Reshape", "Identity"):
            return False
        value = node.inputs[0]
    return value is not None
