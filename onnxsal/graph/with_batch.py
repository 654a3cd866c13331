"""Operators with one axis more in front, that of the batch: what a node is that was written for what has none.

One short function an operator family. Each is given what a node reads, [B, *shape] where that depends on the images and
None where it does not, and returns the node's outputs, [B, *shape] all of them; None where it has no such form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir

from onnxsal.graph.attributes import attributes
from onnxsal.graph.places import given_axes
from onnxsal.graph.shapes import rank, static
from onnxsal.graph.tape import Tape

Rows = Sequence[ir.Value | None]
Made = tuple[ir.Value, ...] | None
_Rule = Callable[[Tape, ir.Node, Rows], Made]


def with_batch(op: Tape, node: ir.Node, rows: Rows) -> Made:
    """Return a node's outputs with the axis of the batch in front, None where there is no rule for it.

    Args: rows: its inputs with that axis, None for those that are the same for all images.
    """
    rule = None if node.domain else _RULES.get(node.op_type)
    if rule is None or any(static(v) is None for v, row in zip(node.inputs, rows, strict=True) if v and row):
        return None
    return rule(op, node, rows)


def without_one(op: Tape, value: ir.Value) -> ir.Value:
    """Return [B, 1, *shape] without the axis of one behind the batch."""
    node = value.producer()
    if node is not None and node.op_type == "Unsqueeze" and given_axes(node) == [1] and node.inputs[0] is not None:
        return node.inputs[0]
    return op.Squeeze(value, [1])


def _again(op: Tape, node: ir.Node, operands: Sequence[Any], **changed: Any) -> tuple[ir.Value, ...]:
    given = {name: value for name, value in attributes(node).items() if name in node.attributes}
    return op.emit(node.op_type, *operands, outputs=len(node.outputs), **{**given, **changed})


def _read(node: ir.Node, rows: Rows) -> list[ir.Value | None]:
    return [value if row is None else row for value, row in zip(node.inputs, rows, strict=True)]


def _elementwise(op: Tape, node: ir.Node, rows: Rows) -> Made:
    """Axes are aligned at the right: those that an operand has not stand behind its batch."""
    most = rank(node.outputs[0])
    if most is None:
        return None
    operands = _read(node, rows)
    for at, (value, row) in enumerate(zip(node.inputs, rows, strict=True)):
        missing = 0 if value is None or row is None else most - (rank(value) or 0)
        if missing:
            operands[at] = op.Unsqueeze(row, list(range(1, 1 + missing)))
    return _again(op, node, operands)


def taken_away(node: ir.Node) -> list[int]:
    """Return the axes of its first operand that a node takes away: squeezed, reduced, or one place of it picked."""
    if node.op_type == "Squeeze" or (node.op_type in _REDUCING and not attributes(node).get("keepdims", 1)):
        return axes_of(node) or []
    value = node.inputs[0] if node.op_type == "Gather" else None
    index = node.inputs[1] if value is not None else None
    if value is None or index is None or index.const_value is None or rank(index) != 0:
        return []
    return [attributes(node)["axis"] % (rank(value) or 1)]


def without_axes(op: Tape, node: ir.Node, value: ir.Value, axes: Sequence[int]) -> Made:
    """Return what a node makes of a value that has already lost some of the axes that it takes away: of ``axes``."""
    if not axes:
        return (value,)
    return (op.Squeeze(value, axes),) if node.op_type == "Squeeze" else _again(op, node, [value, axes])


def _along(op: Tape, node: ir.Node, rows: Rows) -> Made:
    """Softmax, ArgMax, TopK, Gather, Split ...: one axis is named, of the first operand; the others are constants."""
    axis = attributes(node).get("axis")
    if axis is None or any(rows[1:]):
        return None
    return _again(op, node, _read(node, rows), axis=_behind(axis))


def _quantised(op: Tape, node: ir.Node, rows: Rows) -> Made:
    """By one scale for all, which names no axis, or by one for each place of an axis."""
    scale = node.inputs[1]
    alone = scale is not None and all(size == 1 for size in static(scale) or (0,))
    return _elementwise(op, node, rows) if alone else _along(op, node, rows)


def _behind(axis: int) -> int:
    return axis + 1 if axis >= 0 else axis


def _gather(op: Tape, node: ir.Node, rows: Rows) -> Made:
    value = node.inputs[0]
    if rows[0] is not None and value is not None and taken_away(node) == [0] and (static(value) or ())[:1] == (1,):
        return (without_one(op, rows[0]),)
    return _along(op, node, rows)


def _concat(op: Tape, node: ir.Node, rows: Rows) -> Made:
    parts = [op.Unsqueeze(value, [0]) if row is None else row for value, row in zip(node.inputs, rows, strict=True)]
    return _again(op, node, parts, axis=_behind(attributes(node)["axis"]))


def _reduced(op: Tape, node: ir.Node, rows: Rows) -> Made:
    axes = axes_of(node)
    if axes is None or rows[0] is None:
        return None
    return _again(op, node, [rows[0], [axis + 1 for axis in axes]])


def axes_of(node: ir.Node) -> list[int] | None:
    """Return the axes that a Squeeze or a reduction takes away, from the front; None where they are not known."""
    value = node.inputs[0]
    shape, axes = None if value is None else static(value), given_axes(node)
    if shape is None or (axes is None and len(node.inputs) > 1 and node.inputs[1] is not None):
        return None
    if not axes and not attributes(node).get("noop_with_empty_axes"):
        axes = [i for i, size in enumerate(shape) if size == 1 or node.op_type != "Squeeze"]
    return sorted(axis % len(shape) for axis in axes or ())


def _squeeze(op: Tape, node: ir.Node, rows: Rows) -> Made:
    axes, row = axes_of(node), rows[0]
    if axes is None or row is None:
        return None
    if axes[:1] == [0]:
        return without_axes(op, node, without_one(op, row), axes[1:])
    return without_axes(op, node, row, [axis + 1 for axis in axes])


def _unsqueeze(op: Tape, node: ir.Node, rows: Rows) -> Made:
    axes, after = given_axes(node), rank(node.outputs[0])
    if axes is None or after is None or rows[0] is None:
        return None
    return (op.Unsqueeze(rows[0], sorted(axis % after + 1 for axis in axes)),)


def _reshape(op: Tape, node: ir.Node, rows: Rows) -> Made:
    after = static(node.outputs[0])
    if after is None or rows[0] is None or 0 in after:
        return None
    return (op.Reshape(rows[0], [-1, *after]),)


def _expand(op: Tape, node: ir.Node, rows: Rows) -> Made:
    after, value = static(node.outputs[0]), node.inputs[0]
    if after is None or rows[0] is None or value is None:
        return None
    missing = len(after) - (rank(value) or 0)
    row = op.Unsqueeze(rows[0], list(range(1, 1 + missing))) if missing else rows[0]
    return (op.Expand(row, [1, *after]),)


def _transpose(op: Tape, node: ir.Node, rows: Rows) -> Made:
    order = attributes(node).get("perm") or list(range(rank(node.outputs[0]) or 0))[::-1]
    return _again(op, node, [rows[0]], perm=[0, *(axis + 1 for axis in order)])


def _slice(op: Tape, node: ir.Node, rows: Rows) -> Made:
    if rows[0] is None or any(rows[1:]):
        return None
    axes, (starts, ends, _, steps) = sliced_axes(node), (*node.inputs[1:], None, None)[:4]
    if axes is None or starts is None or ends is None:
        return None
    return _again(op, node, [rows[0], starts, ends, [axis + 1 for axis in axes], steps])


def sliced_axes(node: ir.Node) -> list[int] | None:
    """Return the axes along which a Slice cuts, from the front; None where they are not known."""
    count, starts = rank(node.outputs[0]), node.inputs[1]
    given = node.inputs[3] if len(node.inputs) > 3 else None
    named = None if given is None else given.const_value
    if count is None or starts is None or (given is not None and named is None):
        return None
    if named is None:
        return list(range((static(starts) or (count,))[0]))
    return [int(n) % count for n in named.numpy().reshape(-1)]


def _matmul(op: Tape, node: ir.Node, rows: Rows) -> Made:
    (a, b), (left, right) = rows[:2], (rank(v) if v is not None else None for v in node.inputs[:2])
    if left is None or right is None:
        return None
    if a is not None and b is not None:
        return (op.MatMul(a, b),) if left == right > 1 else None
    if a is not None:
        return (op.MatMul(a, node.inputs[1]),) if right <= max(left, 2) else None
    if b is not None and right > 1:
        return (op.MatMul(node.inputs[0], b),) if left <= right else None
    if b is None or left > 2:  # a matrix, or a vector, times one vector
        return None
    if left == 1:
        return (op.MatMul(b, node.inputs[0]),)
    return (op.Squeeze(op.MatMul(node.inputs[0], op.Unsqueeze(b, [-1])), [-1]),)


def _of_images(op: Tape, node: ir.Node, rows: Rows) -> Made:
    """Convolution, pooling, Gemm: what has a batch of one itself has the images there."""
    value, row = node.inputs[0], rows[0]
    shape = None if value is None else static(value)
    if row is None or not shape or shape[0] != 1 or any(rows[1:]) or attributes(node).get("transA"):
        return None
    made = _again(op, node, [without_one(op, row), *node.inputs[1:]])
    return tuple(op.Unsqueeze(each, [1]) for each in made)


WHOLE = frozenset({"Gather", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Squeeze"})
"""Operators that leave one number as it is where they take its axis away."""

_ELEMENTWISE = (
    "Abs", "Acos", "Add", "And", "Asin", "Atan", "Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div", "Dropout", "Elu",
    "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity",
    "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg",
    "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus",
    "Softsign", "Sqrt", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
)  # fmt: skip
_NAMED = (
    "ArgMax", "ArgMin", "Hardmax", "LayerNormalization", "LogSoftmax", "LpNormalization", "Softmax", "Split",
    "TopK",
)  # fmt: skip
_REDUCING = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
_IMAGES = (
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "GlobalMaxPool",
    "GroupNormalization", "InstanceNormalization", "LRN", "MaxPool",
)  # fmt: skip

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise), **dict.fromkeys(_NAMED, _along), **dict.fromkeys(_REDUCING, _reduced),
    **dict.fromkeys(_IMAGES, _of_images), "Concat": _concat, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Reshape": _reshape, "Flatten": _reshape, "Expand": _expand, "Transpose": _transpose, "Slice": _slice,
    "MatMul": _matmul, "Gather": _gather, "QuantizeLinear": _quantised, "DequantizeLinear": _quantised,
}  # fmt: skip

WRITTEN = frozenset(_RULES)
"""Operators that there is a rule for."""
