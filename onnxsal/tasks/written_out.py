"""Activations that exporters and people write out: softmax as a share of exponentials, the logistic function."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.graph.names import node_title
from onnxsal.tasks.held import CLOSE, Held, axis_in, operand, reduced_axes, same, uniform
from onnxsal.tasks.recipes import Recipe

_ASIDE = frozenset({"Identity", "Cast", "Expand", "Unsqueeze", "Reshape"})
"""What a sum passes before something is divided by it."""

_POSITIVE = frozenset({"Exp", "Softplus", "Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "ReduceL1", "ReduceL2",
                       "ReduceSumSquare", "Sqrt"})  # fmt: skip
_KEEP_SIGN = frozenset({"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Add", "Mul",
                        "Div", "Sum", "Pow", "ReduceSum", "ReduceMean", "ReduceMax", "GlobalAveragePool", "Concat",
                        "Gather", "Slice", "Max"})  # fmt: skip


def share(node: ir.Node) -> Held | None:
    """Return what x / sum(x) holds: probabilities, and where x is exp(z) the logits z."""
    x, total = _divided(node)
    axis = None if x is None else summed_over(total, x)
    if x is None or axis is None or not _positive(x):
        return None
    maker = x.producer()
    z = operand(maker, 0) if maker is not None and maker.op_type == "Exp" else None
    logits = None if z is None else Recipe(str(unshifted(z, axis).name))
    return Held("none" if z is None else "softmax", node_title(node), axis, whole=True, logits=logits)


def _divided(node: ir.Node) -> tuple[ir.Value | None, ir.Value | None]:
    if node.op_type == "Div":
        return operand(node, 0), operand(node, 1)
    for x, y in (node.inputs, reversed(node.inputs)):
        maker = None if y is None else y.producer()
        if maker is not None and maker.op_type == "Reciprocal":
            return x, operand(maker, 0)
    return None, None


def summed_over(total: ir.Value | None, x: ir.Value) -> int | None:
    """Return the one axis over which a value is the sum of another, that axis kept; None where it is no such sum."""
    for node in _upwards(total):
        if node.op_type in ("ReduceSum", "ReduceL1") and same(node.inputs[0], x):
            shape, kept = dims(x) or (), total is not None and len(dims(total) or ()) == len(dims(x) or ())
            axes = [axis for axis in reduced_axes(node) or () if shape[axis] != 1]
            return axes[0] if kept and len(axes) == 1 else None
    return None


def _upwards(value: ir.Value | None) -> Iterator[ir.Node]:
    """Yield the nodes of a value and of what it only guards against 0, or gives another shape."""
    while value is not None and (node := value.producer()) is not None:
        yield node
        small = uniform(operand(node, 1))
        guard = small is not None and abs(small) <= CLOSE and node.op_type in ("Add", "Max", "Clip")
        value = node.inputs[0] if guard or node.op_type in _ASIDE else None


def _positive(value: ir.Value | None, depth: int = 12) -> bool:
    """Whether a value is nowhere below 0, as its operators prove."""
    constant = uniform(value)
    if constant is not None:
        return constant >= 0
    node = None if value is None else value.producer()
    if node is None or not depth:
        return False
    low = uniform(operand(node, 1)) if node.op_type == "Clip" else None
    if node.op_type in _POSITIVE or (low is not None and low >= 0):
        return True
    if node.op_type == "Mul" and same(node.inputs[0], node.inputs[1]):
        return True
    places = 1 if node.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Gather", "Slice", "ReduceSum", "ReduceMean",
                                   "ReduceMax", "Pow") else len(node.inputs)  # fmt: skip
    return node.op_type in _KEEP_SIGN and all(_positive(each, depth - 1) for each in node.inputs[:places])


def unshifted(z: ir.Value, axis: int) -> ir.Value:
    """Return what a value was before something was added that is one along an axis: a softmax does not see it."""
    node = z.producer()
    if node is None or node.op_type not in ("Sub", "Add"):
        return z
    first, second = node.inputs[0], node.inputs[1]
    rank = len(dims(z) or ())
    shape = dims(second) if second is not None else None
    alike = shape is not None and len(shape) <= rank and (axis - rank < -len(shape) or shape[axis - rank] == 1)
    return unshifted(first, axis) if first is not None and alike and len(dims(first) or ()) == rank else z


def log_share(node: ir.Node) -> Held | None:
    """Return what z - log(sum(exp(z))) holds: logarithms of probabilities."""
    z, less = operand(node, 0), operand(node, 1)
    if z is None or less is None:
        return None
    for maker in _upwards(less):
        if maker.op_type == "ReduceLogSumExp" and same(maker.inputs[0], z):
            axes = reduced_axes(maker)
            return _logs(node, z, axes[0]) if axes and len(axes) == 1 else None
        if maker.op_type == "Log":
            exp = next((n for n in _exponentials(operand(maker, 0)) if same(n.inputs[0], z)), None)
            axis = None if exp is None else summed_over(operand(maker, 0), exp.outputs[0])
            return None if axis is None else _logs(node, z, axis)
    return None


def _exponentials(total: ir.Value | None) -> Iterator[ir.Node]:
    for node in _upwards(total):
        maker = node.inputs[0].producer() if node.op_type == "ReduceSum" and node.inputs[0] is not None else None
        if maker is not None and maker.op_type == "Exp":
            yield maker


def _logs(node: ir.Node, z: ir.Value, axis: int) -> Held | None:
    found = axis_in(z, axis)
    if found is None:
        return None
    return Held("softmax", node_title(node), found, whole=True, log=True, logits=Recipe(str(unshifted(z, found).name)))


def logistic(node: ir.Node) -> Held | None:
    """Return what 1 / (1 + exp(-z)), exp(z) / (1 + exp(z)) and (1 + tanh(z)) / 2 hold: the sigmoid of z, z and 2 z."""
    halved = node.op_type == "Div" and uniform(operand(node, 1)) == 2.0
    if node.op_type in ("Div", "Reciprocal") and not halved:
        return _of_exponential(node)
    half, other = (0.5, operand(node, 0)) if halved else _with_constant(node)
    maker = None if other is None else other.producer()
    if maker is None:
        return None
    inside = {"Mul": ("Add", 1.0), "Div": ("Add", 1.0), "Add": ("Mul", 0.5)}.get(node.op_type)
    constant, inner = _with_constant(maker) if maker.inputs else (None, None)
    tanh = None if inner is None else inner.producer()
    if (
        half != 0.5
        or inside != (maker.op_type, constant)
        or tanh is None
        or tanh.op_type != "Tanh"
        or tanh.inputs[0] is None
    ):
        return None
    return _sigmoid(node, Recipe(str(tanh.inputs[0].name), factor=2.0))


def _of_exponential(node: ir.Node) -> Held | None:
    over, below = (None, operand(node, 0)) if node.op_type == "Reciprocal" else (operand(node, 0), operand(node, 1))
    adder = None if below is None else below.producer()
    if adder is None or adder.op_type != "Add":
        return None
    one, power = _with_constant(adder)
    exp = None if power is None else power.producer()
    if one != 1.0 or exp is None or exp.op_type != "Exp" or exp.inputs[0] is None:
        return None
    z = Recipe(str(exp.inputs[0].name))
    if over is None or uniform(over) == 1.0:
        return _sigmoid(node, _negative(exp.inputs[0]))
    return _sigmoid(node, z) if same(over, power) else None


def _negative(value: ir.Value) -> Recipe:
    """Return minus a value; what was negated, where it is a Neg that made it."""
    node = value.producer()
    if node is not None and node.op_type == "Neg" and node.inputs[0] is not None:
        return Recipe(str(node.inputs[0].name))
    return Recipe(str(value.name), factor=-1.0)


def log_sigmoid(node: ir.Node) -> Held | None:
    """Return what -softplus(-z) holds: the logarithm of the sigmoid of z."""
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    if maker is None or maker.op_type != "Softplus" or maker.inputs[0] is None:
        return None
    return Held("sigmoid", node_title(node), log=True, logits=_negative(maker.inputs[0]))


def _sigmoid(node: ir.Node, logits: Recipe) -> Held:
    return Held("sigmoid", node_title(node), logits=logits)


def _with_constant(node: ir.Node) -> tuple[float | None, ir.Value | None]:
    """Return the one number among two operands, and the other operand."""
    first, second = operand(node, 0), operand(node, 1)
    constant = uniform(first)
    return (constant, second) if constant is not None else (uniform(second), first)
