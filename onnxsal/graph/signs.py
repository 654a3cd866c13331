"""What a graph proves about the sign of a value: never negative, always above zero."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_NEVER = frozenset({
    "Abs", "Exp", "HardSigmoid", "ReduceL1", "ReduceL2", "ReduceSumSquare", "Relu", "Sigmoid", "Softmax",
    "Softplus", "Sqrt",
})  # fmt: skip
"""Operators whose results are not negative, whatever they read."""

_FIRST = frozenset({
    "AveragePool", "Cast", "CastLike", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GlobalAveragePool",
    "GlobalMaxPool", "Identity", "MaxPool", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Reshape", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators whose results have the sign of their first input: they move, choose or average."""

_ALL = frozenset({"Add", "Concat", "Div", "Mean", "Min", "Mul", "Sum"})
"""Operators of several inputs that are not negative where none of these is."""

_LARGE = 1 << 16
"""Elements of a constant that is not looked through."""

Known = dict[ir.Value, bool]


def never_negative(value: ir.Value) -> bool:
    """Return whether the graph proves that no element is below 0; False where it does not (NaN aside)."""
    return _never(value, {})


def above_zero(value: ir.Value) -> bool:
    """Return whether the graph proves that every element is above 0, by a constant that is added or that bounds it."""
    array, node = _contents(value), value.producer()
    if array is not None or node is None or node.domain:
        return array is not None and array.size > 0 and bool((array > 0).all())
    inputs = [v for v in node.inputs if v is not None]
    if node.op_type == "Add":
        return any(above_zero(v) for v in inputs) and all(never_negative(v) for v in inputs)
    if node.op_type == "Max":
        return any(above_zero(v) for v in inputs)
    if node.op_type == "Clip":
        return _bounded(node) and above_zero(inputs[1])
    return node.op_type in ("Sqrt", "Identity", "Reshape", "Unsqueeze") and above_zero(inputs[0])


def _bounded(clip: ir.Node) -> bool:
    return len(clip.inputs) > 1 and clip.inputs[1] is not None


def _never(value: ir.Value | None, known: Known) -> bool:
    if value is None:
        return True
    if value not in known:
        known[value] = False  # of a value that is met again on the way to itself nothing is proved
        known[value] = _proved(value, known)
    return known[value]


def _proved(value: ir.Value, known: Known) -> bool:
    array, node = _contents(value), value.producer()
    if array is not None or node is None or node.domain:
        return array is not None and array.dtype.kind in "fiu" and bool((array >= 0).all())
    inputs = list(node.inputs)
    if node.op_type in _NEVER:
        return True
    if node.op_type in _FIRST:
        return _never(inputs[0], known)
    if node.op_type in _ALL:
        square = node.op_type == "Mul" and inputs[0] is inputs[1]
        return square or all(_never(v, known) for v in inputs)
    return _by_constant(node, known)


def _by_constant(node: ir.Node, known: Known) -> bool:
    """Operators of which a bound, an exponent or a zero point decides."""
    first, second, third = [*node.inputs, None, None, None][:3]
    if node.op_type == "Max":
        return any(_never(v, known) for v in node.inputs)
    if node.op_type == "Where":
        return _never(second, known) and _never(third, known)
    if node.op_type == "Clip":
        return second is not None and _never(second, known)
    if node.op_type == "Pow":
        exponent = None if second is None else _contents(second)
        even = exponent is not None and bool((exponent % 2 == 0).all())
        return even or _never(first, known)
    if node.op_type == "DequantizeLinear" and first is not None:
        return _lowest(first, third) or _quantised(first, third, known)
    return False


def _lowest(q: ir.Value, zero: ir.Value | None) -> bool:
    """Whether the zero point is the least number of its type."""
    dtype, array = q.dtype, np.zeros(1) if zero is None else _contents(zero)
    return dtype is not None and array is not None and bool((array == dtype.min).all())


def _quantised(q: ir.Value, zero: ir.Value | None, known: Known) -> bool:
    """Whether the numbers were made of a value that is not negative, with the same zero point."""
    node = q.producer()
    same = node is not None and node.op_type == "QuantizeLinear" and [*node.inputs, None][2] is zero
    return same and node is not None and _never(node.inputs[0], known)


def _contents(value: ir.Value) -> np.ndarray | None:
    tensor = value.const_value
    if tensor is None or value.is_graph_input() or tensor.size > _LARGE:
        return None
    return np.asarray(tensor.numpy())
