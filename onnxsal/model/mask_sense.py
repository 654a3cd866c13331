"""What a mask says of a position: that it counts, or that it is left out. Names do not tell, what a graph does with it
does: a value is multiplied by 0, a score has a great number taken off, a constant is put in its place.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

_MOVERS = frozenset({"Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Expand", "Transpose", "Slice", "Tile"})
_NUMBERS: dict[str, Callable[..., Any]] = {
    "Not": operator.not_, "Neg": operator.neg, "Add": operator.add, "Sub": operator.sub, "Mul": operator.mul,
    "Equal": operator.eq, "Greater": operator.gt, "Less": operator.lt, "GreaterOrEqual": operator.ge,
    "LessOrEqual": operator.le, "And": lambda a, b: a and b, "Or": lambda a, b: a or b,
    "Where": lambda condition, a, b: a if condition else b,
}  # fmt: skip
_FAR = -1e3
"""What a softmax makes nothing of where it is added to a score."""


def left_out_by(mask: ir.Value) -> int | None:
    """Return which of 0 and 1 in a mask leaves positions out, as far as the graph that takes it proves it."""
    out = [number for number in (0, 1) if _leaves_out(mask, number)]
    return out[0] if len(out) == 1 else None


def _leaves_out(mask: ir.Value, number: int) -> bool:
    """Whether positions are left out where the mask is one number everywhere."""
    known: dict[ir.Value | None, Any] = {mask: bool(number) if mask.dtype == ir.DataType.BOOL else number}
    found = False
    for node in mask.graph or ():
        if known.keys().isdisjoint(node.inputs) or node.domain:
            continue
        numbers = [known[v] if v in known else _constant(v) for v in node.inputs]
        made = _made(node, numbers)
        if made is None:
            found = found or _is_out(node.op_type, numbers)
        else:
            known[node.outputs[0]] = made
    return found


def _made(node: ir.Node, numbers: list[Any]) -> Any:
    """Return the one number that a node puts out everywhere, None where there is none, or it is not known."""
    if node.op_type in _MOVERS:
        return numbers[0]
    if node.op_type == "Cast":
        whole = ir.DataType(node.attributes["to"].as_int()) == ir.DataType.BOOL
        return bool(numbers[0]) if whole else float(numbers[0])
    if node.op_type == "And" and False in [n for n in numbers if n is not None]:
        return False
    if node.op_type == "Or" and True in [n for n in numbers if n is not None]:
        return True
    return _NUMBERS[node.op_type](*numbers) if node.op_type in _NUMBERS and None not in numbers else None


def _is_out(op_type: str, numbers: list[Any]) -> bool:
    """Whether what a mask became leaves out what it meets."""
    met = [n for n in numbers if n is not None]
    if op_type == "Where":
        return len(met) == 2 and numbers[0] is not None and numbers[1 if numbers[0] else 2] is not None
    return (op_type == "Mul" and met == [0]) or (op_type == "Add" and len(met) == 1 and met[0] <= _FAR)


def _constant(value: ir.Value | None) -> Any:
    """Return the number that a constant has everywhere."""
    tensor = None if value is None or value.is_graph_input() else ir.convenience.get_const_tensor(value)
    node = None if value is None else value.producer()
    if tensor is None and node is not None and node.op_type == "ConstantOfShape" and not node.domain:
        tensor = node.attributes["value"].as_tensor() if "value" in node.attributes else ir.tensor([0.0])
    if tensor is None or tensor.size == 0:
        return None
    numbers = np.unique(tensor.numpy())
    return numbers[0].item() if len(numbers) == 1 else None
