"""What tells that an output is an embedding: that it is L2-normalised, in whatever operators an exporter writes that;
or else what the file calls it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import onnx_ir as ir

from onnxsal.anatomy.cutting import reduced_axes
from onnxsal.graph import attributes, dims
from onnxsal.tasks.outputs import behind

_SAME = frozenset({"Identity", "Cast", "Dropout", "QuantizeLinear", "DequantizeLinear"})
"""What leaves the numbers as they are, up to a type's own steps."""

_LAID_OUT = _SAME | {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand"}
"""What a length passes on its way to what it divides."""

_FLOORS = frozenset({"Clip", "Max", "Add"})
_SMALL = 1e-3
"""The largest number that keeps a length from 0 and does nothing else."""


_CALLED = re.compile(r"embed|pooler_output", re.IGNORECASE)
"""What exporters call outputs that are embeddings: image_embeds, sentence_embedding, pooler_output."""


def embeds(output: ir.Value) -> str:
    """Return what tells that an output is an embedding; nothing where nothing does."""
    made = next((v for v in behind(output) if normalised(v) is not None), None)
    if made is not None:
        node = made.producer()
        return f"is L2-normalised by {node.op_type} {node.name or str(made.name)!r}" if node is not None else ""
    return "is called so in the file" if _CALLED.search(str(output.name)) else ""


def normalised(value: ir.Value) -> ir.Value | None:
    """Return what a value is the L2-normalised form of, over all its numbers; None where nothing proves that it is.

    Numbered forms: 1. LpNormalization. 2. x / |x|. 3. x * (1 / |x|). |x| is a ReduceL2, or the root of a sum of
    squares; a floor may keep it from 0. A mean of squares is none: that is RMS normalisation, of another length.
    """
    node = value.producer()
    if node is None or node.domain:
        return None
    if node.op_type == "LpNormalization":
        x = node.inputs[0]
        axis = int(attributes(node).get("axis", -1))
        return x if x is not None and int(attributes(node).get("p", 2)) == 2 and _is_whole(x, {axis}) else None
    if node.op_type == "Div":
        x, length = node.inputs
        return x if x is not None and _power(length, x) == 1 else None
    pairs = (tuple(node.inputs), tuple(node.inputs)[::-1]) if node.op_type == "Mul" else ()
    return next((x for x, inverse in pairs if x is not None and _power(inverse, x) == -1), None)


def _power(value: ir.Value | None, x: ir.Value) -> float | None:
    """Return which power of |x| a value is, floors left out; None where it is none."""
    while value is not None and (node := value.producer()) is not None and not node.domain:
        if node.op_type in _LAID_OUT:
            value = node.inputs[0]
        elif node.op_type in _FLOORS:
            value = _floored(node)
        else:
            return _power_of(node, x)
    return None


def _power_of(node: ir.Node, x: ir.Value) -> float | None:
    first = node.inputs[0] if node.inputs else None
    if node.op_type == "ReduceL2":
        return 1.0 if _is_same(first, x) and _reduces(node, x) else None
    if node.op_type == "ReduceSumSquare":
        return 2.0 if _is_same(first, x) and _reduces(node, x) else None
    if node.op_type == "ReduceSum":
        return 2.0 if _is_square(first, x) and _reduces(node, x) else None
    exponent = _exponent(node)
    if exponent is None:
        return None
    inner = _power(node.inputs[1] if node.op_type == "Div" else first, x)
    return None if inner is None else inner * exponent


def _exponent(node: ir.Node) -> float | None:
    """Return the power that a node takes of its operand: a root, an inverse, one that is written."""
    if node.op_type == "Div":
        return -1.0 if _number(node.inputs[0]) == 1.0 else None
    if node.op_type == "Pow":
        return _number(node.inputs[1])
    return {"Sqrt": 0.5, "Reciprocal": -1.0}.get(node.op_type)


def _is_square(value: ir.Value | None, x: ir.Value) -> bool:
    """Whether a value is x squared: a product with itself or a power, perhaps of its size."""
    node = None if value is None else value.producer()
    if node is None or node.domain:
        return False
    if node.op_type in _SAME:
        return _is_square(node.inputs[0], x)
    if node.op_type == "Mul":
        return all(_is_same(each, x) for each in node.inputs)
    return node.op_type == "Pow" and _number(node.inputs[1]) == 2.0 and _is_same(node.inputs[0], x)


def _is_same(value: ir.Value | None, x: ir.Value) -> bool:
    """Whether a value is x, its size, or either in another type."""
    wanted = set(_bare(x))
    return any(each in wanted for each in _bare(value, sizes=True))


def _bare(value: ir.Value | None, *, sizes: bool = False) -> Iterator[ir.Value]:
    while value is not None:
        yield value
        node = value.producer()
        passed = node is not None and not node.domain and (node.op_type in _SAME or (sizes and node.op_type == "Abs"))
        value = node.inputs[0] if passed and node is not None else None


def _reduces(node: ir.Node, x: ir.Value) -> bool:
    shape = dims(x)
    return shape is not None and _is_whole(x, set(reduced_axes(node, len(shape))))


def _is_whole(x: ir.Value, axes: set[int]) -> bool:
    """Whether axes are all that x has behind its batch, those of one number aside."""
    shape = dims(x) or ()
    found = {axis % len(shape) for axis in axes} if shape else set()
    wide = {axis for axis, size in enumerate(shape) if axis and size != 1}
    return bool(wide) and wide <= found and 0 not in found


def _floored(node: ir.Node) -> ir.Value | None:
    """Return what a node keeps from 0 by a small number; None where it does something else."""
    if node.op_type == "Clip":
        low = node.inputs[1] if len(node.inputs) > 1 else None
        return node.inputs[0] if low is None or (_number(low) or 0.0) <= _SMALL else None
    small = [v for v in node.inputs if (number := _number(v)) is not None and 0 <= number <= _SMALL]
    others = [v for v in node.inputs if v not in small]
    return others[0] if len(others) == 1 else None


def _number(value: ir.Value | None) -> float | None:
    """Return the one number that a constant holds."""
    constant = None if value is None else value.const_value
    return float(constant.numpy().reshape(-1)[0]) if constant is not None and constant.size == 1 else None
