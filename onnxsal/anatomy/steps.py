"""The step and the zero point of integers between integer operators (QOperator files): what their numbers stand for."""

from __future__ import annotations

import onnx_ir as ir

_AT = {
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), 6),
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QLinearGlobalAveragePool",
                     "QLinearAveragePool"), 3),
    "QGemm": 7, "QLinearWhere": 7, "QLinearConcat": 0, "QuantizeLinear": 1,
}  # fmt: skip
"""Which input is the scale of the result; the zero point follows it."""

_MOVING = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Identity"})

Steps = tuple[ir.Value, ir.Value | None]


def steps_of(value: ir.Value) -> Steps | None:
    """Return scale and zero point of a quantised value, None where it is none."""
    node = value.producer()
    while node is not None and node.op_type in _MOVING and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    at = None if node is None else _AT.get(node.op_type)
    if node is None or at is None or len(node.inputs) <= at or node.inputs[at] is None:
        return None
    scale, zero = node.inputs[at], node.inputs[at + 1] if len(node.inputs) > at + 1 else None
    return None if scale is None else (scale, zero)
