"""Between which numbers a graph leaves a value: the ends of an activation, in whatever nodes it is written out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.graph.attributes import attributes
from onnxsal.graph.contents import Array

_ENDS = {
    **dict.fromkeys(("Softmax", "Sigmoid", "HardSigmoid"), (0.0, 1.0)),
    **dict.fromkeys(("Tanh", "Erf", "Softsign", "Sin", "Cos"), (-1.0, 1.0)),
}
_MOVES = frozenset({
    "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
})  # fmt: skip
_MEANS = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMax", "ReduceMean", "ReduceMin"})
_JOINS = frozenset({"Concat", "Where"})
_ERF = np.vectorize(math.erf, [float])
_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "Abs": np.abs, "Add": np.add, "Clip": lambda x, low=-np.inf, high=np.inf: np.clip(x, low, high), "Div": np.divide,
    "Erf": _ERF, "Exp": np.exp, "Identity": lambda x: x, "Log": np.log, "Max": np.maximum, "Min": np.minimum,
    "Mul": np.multiply, "Neg": np.negative, "Pow": np.power, "Relu": lambda x: np.maximum(x, 0), "Sqrt": np.sqrt,
    "Sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)), "Softplus": lambda x: np.logaddexp(0, x), "Sub": np.subtract,
    "Tanh": np.tanh, "Mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "Elu": lambda x, alpha=1.0: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "Gelu": lambda x, approximate="none": x * (1 + _ERF(x / math.sqrt(2))) / 2,
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1),
    "LeakyRelu": lambda x, alpha=0.01: np.where(x < 0, alpha * x, x),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
}  # fmt: skip
"""Functions of one number and of constants. Gelu's form with tanh has its smallest number 0.0001 lower: no step."""

_WITH_ATTRIBUTES = frozenset({"Elu", "Gelu", "HardSigmoid", "LeakyRelu"})
_LONGEST = 16
"""Nodes of an activation that is written out; Gelu takes five, its form with tanh nine."""

_HALF = np.concatenate([np.logspace(-6, 6, 1201), np.logspace(7, 30, 24)])
_GRID = np.concatenate([-_HALF[::-1], [0.0], _HALF])
"""As dense at every scale: an activation's smallest number is found to 1e-4 of itself, whatever x is multiplied by."""

Ends = tuple[float, float]
_ANY: Ends = (-math.inf, math.inf)


def extremes(value: ir.Value | None) -> Ends:
    """Return between which numbers a value lies; infinite where the graph tells none."""
    if value is None:
        return _ANY
    found = _at_once(value)
    return _as_function(value) if found is None else found


def _at_once(value: ir.Value) -> Ends | None:
    """The ends of what bounds, moves, joins or averages numbers, or stands for integers; None of all else."""
    node, number = value.producer(), _number(value)
    if number is not None:
        return number, number
    if node is None or node.domain:
        return _ANY
    if node.op_type in _ENDS:
        return _ENDS[node.op_type]
    if node.op_type == "DequantizeLinear":
        return _of_integers(*[*node.inputs, None][:3])
    if node.op_type not in _MOVES | _MEANS | _JOINS:
        return None
    joined = (
        node.inputs if node.op_type == "Concat" else node.inputs[1:3] if node.op_type == "Where" else node.inputs[:1]
    )
    ends = [extremes(v) for v in joined] + [(0.0, 0.0)] * (node.op_type == "AveragePool")  # its padding
    return min(low for low, _ in ends), max(high for _, high in ends)


def _of_integers(q: ir.Value | None, scale: ir.Value | None, zero: ir.Value | None) -> Ends:
    """The numbers that a type of integers stands for."""
    dtype = None if q is None else q.dtype
    s, z = (None if v is None or v.is_graph_input() else v.const_value for v in (scale, zero))
    if dtype is None or not dtype.is_integer() or s is None or (zero is not None and z is None):
        return _ANY
    offset = 0.0 if z is None else z.numpy().astype(float)
    ends = [(float(end) - offset) * s.numpy().astype(float) for end in (dtype.min, dtype.max)]
    return float(np.min(ends[0])), float(np.max(ends[1]))


def _as_function(value: ir.Value) -> Ends:
    """The ends of a function of one value that lies further up: of each such value, the narrowest."""
    open_, chain, ends = {value}, list[ir.Node](), _ANY
    while len(chain) < _LONGEST and (node := _latest(open_)) is not None:
        chain.append(node)
        open_.discard(node.outputs[0])
        open_.update(v for v in node.inputs if v is not None and _number(v) is None)
        if len(open_) == 1:
            ends = _narrower(ends, _tried(value, next(iter(open_)), chain))
    return ends


def _latest(values: set[ir.Value]) -> ir.Node | None:
    """Return the node behind all others that make these values, None where it is no function of single numbers."""
    last = next((v for v in values if not any(v in _above(w) for w in values if w is not v)), None)
    node = None if last is None else last.producer()
    return node if node is not None and _plain(node) else None


def _above(value: ir.Value) -> set[ir.Value]:
    """Return what a value is made of, as far as an activation may reach."""
    found, todo = set[ir.Value](), [value]
    while todo and len(found) < 2 * _LONGEST:
        node = todo.pop().producer()
        new = [] if node is None or not _plain(node) else [v for v in node.inputs if v is not None and v not in found]
        found.update(new)
        todo += new
    return found


def _plain(node: ir.Node) -> bool:
    large = any(v is not None and v.const_value is not None and _number(v) is None for v in node.inputs)
    known = node.op_type in _FUNCTIONS and not node.domain and (not node.attributes or node.op_type in _WITH_ATTRIBUTES)
    return known and not large


def _tried(value: ir.Value, source: ir.Value, chain: list[ir.Node]) -> Ends:
    found: dict[ir.Value | None, Any] = {source: np.clip(_GRID, *(_at_once(source) or _ANY))}
    with np.errstate(all="ignore"):
        for node in reversed(chain):
            given = [found[v] if v in found else _number(v) for v in node.inputs if v is not None]
            found[node.outputs[0]] = _FUNCTIONS[node.op_type](*given, **attributes(node))
    y = found[value]
    return _ANY if np.isnan(y).any() else (float(y.min()), float(y.max()))


def _narrower(one: Ends, other: Ends) -> Ends:
    return max(one[0], other[0]), min(one[1], other[1])


def _number(value: ir.Value | None) -> float | None:
    tensor = None if value is None or value.is_graph_input() else value.const_value
    return float(tensor.numpy().reshape(-1)[0]) if tensor is not None and tensor.size == 1 else None
