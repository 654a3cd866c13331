"""Following a model's input through preprocessing that is part of the graph, to the value that is explained."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.shapes import is_float

_PASSED = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear", "Transpose", "Identity"})
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div"})

COUNTED = "sal/held/rows/"
"""How the names of shapes start that are only read to repeat held inputs as often as there are rows."""

FED = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)
"""The float types in which ONNX Runtime takes an input and computes on."""


@dataclass(frozen=True)
class Step:
    """A value of the preprocessing, and where the input's axes went."""

    value: ir.Value
    order: tuple[int, ...]

    def axes(self, letters: str) -> str:
        """Return the letters of the input's axes in the order that the value has them."""
        return "".join(letters[axis] for axis in self.order)


def explained_at(value: ir.Value, letters: str, allowed: Collection[str]) -> Step:
    """Return the last float value of the fixed, elementwise preprocessing that starts at an input.

    Args: letters: of the input's axes. allowed: the orders of them that programs can be fed in.
    """
    fitting = [s for s in steps_from(value, len(letters)) if is_float(s.value) and s.axes(letters) in allowed]
    return fitting[-1] if fitting else Step(value, tuple(range(len(letters))))


def steps_from(value: ir.Value, rank: int) -> list[Step]:
    """Return the values of the fixed, elementwise preprocessing that starts at an input, itself first."""
    steps = [Step(value, tuple(range(rank)))]
    while (following := _next(steps[-1])) is not None:
        steps.append(following)
    return steps


def counts_rows(node: ir.Node) -> bool:
    """Whether a node only reads how many rows there are, for what is held beside them."""
    return node.op_type == "Shape" and str(node.outputs[0].name).startswith(COUNTED)


def _next(step: Step) -> Step | None:
    value, nodes = step.value, [node for node in step.value.consumers() if not counts_rows(node)]
    if len(nodes) != 1 or value.is_graph_output() or len(nodes[0].outputs) != 1 or nodes[0].domain:
        return None
    (node,) = nodes
    after = node.outputs[0]
    if node.op_type == "Transpose":
        axes = list(range(len(step.order)))
        perm = attributes(node).get("perm") or axes[::-1]
        rows_stay = sorted(perm) == axes and perm[0] == 0
        return Step(after, tuple(step.order[p] for p in perm)) if rows_stay else None
    if dims(after) != dims(value):
        return None
    constants = [v for v in node.inputs if v is not None and v is not value]
    fixed = node.op_type in _ARITHMETIC and all(map(_is_fixed, constants))
    passed = node.op_type in _PASSED and node.inputs[0] is value
    return Step(after, step.order) if fixed or passed else None


def _is_fixed(value: ir.Value) -> bool:
    """A constant, or one that a quantised model stores in integers."""
    maker = value.producer()
    if maker is None or maker.op_type != "DequantizeLinear":
        return value.const_value is not None
    return all(v is None or v.const_value is not None for v in maker.inputs)


def shown(value: ir.Value) -> str:
    """Return the shape and type of an input as messages name them."""
    shape = dims(value)
    text = "of unknown rank" if shape is None else "[" + ", ".join(str(d or "?") for d in shape) + "]"
    return text if value.dtype is None else f"{text} of {value.dtype.name.lower()}"
