"""Half precision: rules that sum or square over many elements work in float32, and their results are narrowed again.

In float16 a square overflows from 256 on, and a sum at 65504; of a sum of hundreds of terms bfloat16 keeps two digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, Rule
from onnxsal.graph import Tape

_HALF = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
_WIDE = frozenset({
    "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization", "LRN",
    "MeanVarianceNormalization", "RMSNormalization", "Softmax", "LogSoftmax", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSumSquare", "CumSum", "CumProd", "Einsum",
    "GlobalLpPool", "LpPool", "Tile",
})  # fmt: skip
"""Operators of ai.onnx whose rules sum over elements of their inputs."""

_AGAIN = frozenset({"GlobalLpPool", "LpPool", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"})
"""Those whose rules divide by the result, which may have overflowed itself: it is computed again in float32."""


def apply(rule: Rule, call: Call) -> Sequence[Gradient]:
    """Return the gradients of a node's inputs by its rule, in float32 inside where half precision would overflow."""
    node = call.node
    if node.domain or node.op_type not in _WIDE or not any(_is_half(v) for v in (*node.inputs, *node.outputs)):
        return rule.apply(call)
    return _in_float(rule, call)


def _in_float(rule: Rule, call: Call) -> list[Gradient]:
    """The rule sees a stand-in whose values are float32; the node itself stays as it is."""
    op, node = call.op, call.node
    inputs, outputs = ([_widened(op, v) for v in values] for values in (node.inputs, node.outputs))
    if node.op_type in _AGAIN:
        outputs = [_again(op, node, inputs)]
    stand_ins = [ir.Value(name=None, type=None if v is None else v.type, shape=o.shape)
                 for v, o in zip(outputs, node.outputs, strict=True)]  # fmt: skip
    twin = ir.Node(node.domain, node.op_type, inputs, list(node.attributes.values()), outputs=stand_ins)
    grads = tuple(None if g is None else _widened(op, g) for g in call.grads)
    results = rule.apply(replace(call, node=twin, grads=grads))
    for stand_in, value in zip(stand_ins, outputs, strict=True):
        if value is not None:
            stand_in.replace_all_uses_with(value)
    for i in range(len(inputs)):
        twin.replace_input_with(i, None)
    return [None if g is None or v is None else op.cast(g, v.dtype) for g, v in zip(results, node.inputs, strict=False)]


def _again(op: Tape, node: ir.Node, inputs: Sequence[ir.Value | None]) -> ir.Value:
    made = op.emit(node.op_type, *inputs, **{name: attr.value for name, attr in node.attributes.items()})
    assert isinstance(made, ir.Value)
    made.shape = node.outputs[0].shape
    return made


def _is_half(value: ir.Value | None) -> bool:
    return value is not None and value.dtype in _HALF


def _widened(op: Tape, value: ir.Value | None) -> ir.Value | None:
    if value is None or not _is_half(value):
        return value
    wide = op.cast(value, ir.DataType.FLOAT)
    wide.shape = value.shape
    return wide
