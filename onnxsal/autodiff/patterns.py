"""What a graph proves of products and quotients that exporters write out: own gates, normalisations, a softmax."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import onnx_ir as ir

from onnxsal.autodiff.rules.common import constant, number
from onnxsal.graph.shapes import dims

_FAR = 24
"""Nodes of one activation: GELU by its tanh has eight, and twice as many between quantisers."""

_ONE = frozenset({
    "Abs", "Cast", "Celu", "Clip", "DequantizeLinear", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Log", "Neg", "QuantizeLinear", "Reciprocal", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign",
    "Sqrt", "Tanh",
})  # fmt: skip
_TWO = frozenset({"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"})
_SAME = frozenset({"Cast", "Identity", "QuantizeLinear", "DequantizeLinear"})
_SHAPED = frozenset({"Expand", "Reshape", "Squeeze", "Unsqueeze"})


def own_gate(node: ir.Node, kept: AbstractSet[ir.Value] = frozenset()) -> int | None:
    """Return which operand is x where a Mul or Div computes c x times a function of x, element by element, else None.

    So are SiLU, GELU, HardSwish and Mish written out. A gate that is made from x through a mean or weights is none.
    Args: kept: values that are asked for, which must not lie between.
    """
    a, b = node.inputs
    places = ((0, a, b), (1, b, a)) if node.op_type == "Mul" else ((0, a, b),)
    for place, x, gate in places:
        if x is not None and gate is not None and _is_function(gate, set(_multiples(x)), kept):
            return place
    return None


def _multiples(x: ir.Value) -> list[ir.Value]:
    """A value and those that it is a constant multiple of, the nearest first."""
    found = [x]
    while (before := _before_factor(found[-1])) is not None and len(found) < _FAR:
        found.append(before)
    return found


def _before_factor(value: ir.Value) -> ir.Value | None:
    node = value.producer()
    if node is None or node.domain or node.inputs[0] is None:
        return None
    if node.op_type in _SAME or node.op_type == "Neg":
        return node.inputs[0]
    if node.op_type not in ("Mul", "Div"):
        return None
    a, b = node.inputs
    source = a if constant(b) is not None else b if node.op_type == "Mul" and constant(a) is not None else None
    return source if source is not None and _keeps_shape(node, source) else None


def _keeps_shape(node: ir.Node, source: ir.Value) -> bool:
    """Whether a constant operand repeats nothing of the other one."""
    single = all(v is source or (c := constant(v)) is None or c.size == 1 for v in node.inputs if v is not None)
    shape = dims(node.outputs[0])
    return single or (shape is not None and shape == dims(source) and None not in shape)


def _is_function(value: ir.Value, sources: set[ir.Value], kept: AbstractSet[ir.Value]) -> bool:
    """Whether a value is computed element by element from some of ``sources`` and constants alone."""
    pending, seen = [value], {value}
    for each in pending:
        if each in sources:
            continue
        node = each.producer()
        if node is None or node.domain or each in kept or len(seen) > _FAR:
            return False
        fed = node.inputs[:1] if node.op_type in _ONE else node.inputs if node.op_type in _TWO else ()
        fresh = [v for v in fed if v is not None and constant(v) is None]
        if not fresh or not all(_keeps_shape(node, v) for v in fresh):
            return False
        pending += [v for v in fresh if v not in seen]
        seen.update(fresh)
    return value not in sources


def normalised(node: ir.Node) -> int | None:
    """Return which operand is x where a Mul or Div scales x by its own root mean square, else None.

    Of what is less its mean, that is its deviation; of x itself its norm, as RMSNorm and cosines have it.
    """
    a, b = node.inputs
    if node.op_type == "Div":
        return 0 if a is not None and b is not None and _norm_of(b, -1) & _family(a) else None
    for place, x, scale in ((0, a, b), (1, b, a)):
        if x is not None and scale is not None and _norm_of(scale, 1) & _family(x):
            return place
    return None


def _norm_of(value: ir.Value, sign: int) -> set[ir.Value]:
    """Return what a value is a falling power of the mean square of (``sign`` counts turns so far); nothing if none."""
    for _ in range(_FAR):
        node = value.producer()
        if node is None or node.domain:
            return set()
        squared = _squared_in(node)
        if squared is not None:
            return _family(squared) if sign < 0 else set()
        step = _towards_mean(node)
        if step is None:
            return set()
        value, sign = step[0], sign * step[1]
    return set()


def _towards_mean(node: ir.Node) -> tuple[ir.Value, int] | None:
    """Return what a power of a mean square is made from, and -1 where that turned it over."""
    a, b = [*node.inputs, None, None][:2]
    if a is None:
        return None
    if node.op_type in _SAME | _SHAPED | {"Sqrt", "Clip", "Relu"}:
        return a, 1
    if node.op_type == "Reciprocal":
        return a, -1
    if node.op_type == "Pow" and (power := number(b)) is not None and power:
        return a, 1 if power > 0 else -1
    if node.op_type in ("Add", "Max", "Mul") and b is not None:
        source = a if constant(b) is not None else b if constant(a) is not None else None
        return None if source is None else (source, 1)
    if node.op_type == "Div" and b is not None:
        return (a, 1) if constant(b) is not None else (b, -1) if constant(a) is not None else None
    return None


def _squared_in(node: ir.Node) -> ir.Value | None:
    """Return c where a node is the mean or sum of c squared, a norm of it, or the mean of squares less that squared."""
    x = node.inputs[0]
    if x is None:
        return None
    if node.op_type in ("ReduceL2", "ReduceSumSquare"):
        return x
    if node.op_type in ("ReduceMean", "ReduceSum"):
        return _square_root(x)
    if node.op_type == "Sub" and node.inputs[1] is not None:
        first, mean = x.producer(), _square_root(node.inputs[1])
        squared = None if first is None or first.domain else _squared_in(first)
        return squared if squared is not None and mean is not None and _mean_of(mean) is squared else None
    return None


def _square_root(value: ir.Value) -> ir.Value | None:
    node = value.producer()
    if node is None or node.domain:
        return None
    if node.op_type in ("Cast", "Identity") and node.inputs[0] is not None:
        return _square_root(node.inputs[0])
    a, b = [*node.inputs, None][:2]
    square = (node.op_type == "Mul" and a is b) or (node.op_type == "Pow" and number(b) == 2)
    return a if square else None


def _mean_of(value: ir.Value) -> ir.Value | None:
    node = value.producer()
    return node.inputs[0] if node is not None and not node.domain and node.op_type == "ReduceMean" else None


def _family(value: ir.Value) -> set[ir.Value]:
    """What shares a norm: a value, what it is a multiple of, and what its mean was taken of or from."""
    found = set(_multiples(value))
    for each in list(found):
        node = each.producer()
        source = _mean_of(each)
        if node is not None and not node.domain and node.op_type == "Sub":
            whole, mean = node.inputs
            source = whole if mean is not None and _mean_of(mean) is whole else None
        found |= set() if source is None else set(_multiples(source))
    return found


def is_step(value: ir.Value | None) -> bool:
    """Whether a value is the step that a DynamicQuantizeLinear chose, or a product of such steps and constants."""
    node = None if value is None else value.producer()
    if value is None or node is None or node.domain:
        return value is not None and constant(value) is not None
    if node.op_type == "DynamicQuantizeLinear":
        return value is node.outputs[1]
    if node.op_type == "Mul":
        return all(is_step(v) for v in node.inputs)
    return node.op_type in _SAME | _SHAPED and is_step(node.inputs[0])


def softmax_of(node: ir.Node) -> ir.Node | None:
    """Return the Exp of a Div that computes exp(x) / sum(exp(x)), else None."""
    top, total = node.inputs
    maker = None if total is None else total.producer()
    if top is None or maker is None or maker.domain or maker.op_type != "ReduceSum" or maker.inputs[0] is not top:
        return None
    found = top.producer()
    return found if found is not None and not found.domain and found.op_type == "Exp" else None


def in_softmax(node: ir.Node) -> bool:
    """Whether an Exp is part of a softmax that is written out."""
    readers = node.outputs[0].consumers()
    return any(n.op_type == "Div" and not n.domain and softmax_of(n) is node for n in readers)
