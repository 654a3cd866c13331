"""Rules of activation functions. Where the output tells the slope, the rule reads the output: it is there anyway."""

from __future__ import annotations

import math

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, defvjp, vjp
from onnxsal.autodiff.rules.clipping import is_absorbed
from onnxsal.autodiff.rules.coarse import unclipped
from onnxsal.autodiff.rules.common import constant, number
from onnxsal.autodiff.rules.gates import inside
from onnxsal.autodiff.rules.quantised import again
from onnxsal.graph.shapes import is_float
from onnxsal.graph.tape import Tape

# Rectifiers
defvjp("LeakyRelu", lambda op, g, y, x, *, alpha: op.Where(op.Greater(x, 0.0), g, op.Mul(g, alpha)))
defvjp("ThresholdedRelu", lambda op, g, y, x, *, alpha: op.gate(g, op.Greater(x, alpha)))
defvjp("Shrink", lambda op, g, y, x, *, lambd: op.gate(g, op.Greater(op.Abs(x), lambd)), broadcasts=False)
defvjp(
    "PRelu",
    lambda op, g, y, x, slope: op.Where(op.Greater(x, 0.0), g, op.Mul(g, slope)),
    lambda op, g, y, x, slope: op.Where(op.Greater(x, 0.0), 0.0, op.Mul(g, x)),
    broadcasts=True,
)

# Exponential units: below zero the slope is the output plus a constant
defvjp("Elu", lambda op, g, y, x, *, alpha: op.Where(op.Greater(x, 0.0), g, op.Mul(g, op.Add(y, alpha))))
defvjp("Celu", lambda op, g, y, x, *, alpha: op.Where(op.Greater(x, 0.0), g, op.Mul(g, op.Add(op.Div(y, alpha), 1.0))))
defvjp(
    "Selu",
    lambda op, g, y, x, *, alpha, gamma: op.Mul(g, op.Where(op.Greater(x, 0.0), gamma, op.Add(y, alpha * gamma))),
)

# Sigmoids
defvjp("Sigmoid", lambda op, g, y, x: op.Mul(g, _bell(op, again(op, y))))
defvjp("Softplus", lambda op, g, y, x: op.Mul(g, op.Sigmoid(x)))
defvjp("Softsign", lambda op, g, y, x: op.Mul(g, _squared(op, op.Sub(1.0, op.Abs(y)))))
defvjp(
    "HardSigmoid",
    lambda op, g, y, x, *, alpha: op.gate(op.Mul(g, alpha), op.And(op.Greater(y, 0.0), op.Less(y, 1.0))),
)


def _bell(op: Tape, s: ir.Value) -> ir.Value:
    return op.Sub(s, op.Mul(s, s))


def _squared(op: Tape, x: ir.Value) -> ir.Value:
    return op.Mul(x, x)


def _hard_swish(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value) -> ir.Value:
    inside = op.Mul(g, op.Add(op.Mul(x, 1 / 3), 0.5))
    return op.Where(op.Less(x, -3.0), 0.0, op.Where(op.Greater(x, 3.0), g, inside))


def _swish(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, alpha: float = 1.0) -> ir.Value:
    """s + alpha y (1 - s) with s = sigmoid(alpha x)."""
    s = op.Sigmoid(x if alpha == 1 else op.Mul(x, alpha))
    rest = op.Mul(y, op.Sub(1.0, s))
    return op.Mul(g, op.Add(s, rest if alpha == 1 else op.Mul(rest, alpha)))


def _mish(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value) -> ir.Value:
    """t + x sigmoid(x) (1 - t^2) with t = tanh(softplus(x))."""
    t = op.Tanh(op.Softplus(x))
    rest = op.Mul(op.Mul(x, op.Sigmoid(x)), op.Sub(1.0, op.Mul(t, t)))
    return op.Mul(g, op.Add(t, rest))


defvjp("HardSwish", _hard_swish)
defvjp("Swish", _swish)
defvjp("Mish", _mish)


def _gelu(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, approximate: str = "none") -> ir.Value:
    return op.Mul(g, _gelu_tanh(op, x) if approximate == "tanh" else _gelu_erf(op, x))


def _gelu_erf(op: Tape, x: ir.Value) -> ir.Value:
    """Phi(x) + x phi(x)."""
    below = op.Add(op.Mul(op.Erf(op.Mul(x, math.sqrt(0.5))), 0.5), 0.5)
    density = op.Mul(op.Exp(op.Mul(op.Mul(x, x), -0.5)), 1 / math.sqrt(2 * math.pi))
    return op.Add(below, op.Mul(x, density))


def _gelu_tanh(op: Tape, x: ir.Value) -> ir.Value:
    """(1 + t) / 2 + x (1 - t^2) u' / 2 with t = tanh(u), u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    c, square = math.sqrt(2 / math.pi), op.Mul(x, x)
    t = op.Tanh(op.Mul(x, op.Add(op.Mul(square, 0.044715 * c), c)))
    slope = op.Mul(x, op.Add(op.Mul(square, 3 * 0.044715 * c / 2), c / 2))
    return op.Add(op.Add(op.Mul(t, 0.5), 0.5), op.Mul(slope, op.Sub(1.0, op.Mul(t, t))))


defvjp("Gelu", _gelu)


@vjp("Relu", slots=(True,))
def _relu(call: Call) -> list[Gradient]:
    return [call.g if is_absorbed(call.node) else inside(call.op, call.g, call.y, 0.0, None)]


@vjp("Clip", slots=(True, True, True))
def _clip(call: Call) -> list[Gradient]:
    """Strictly inside the bounds the gradient passes to x (so has it ReLU6), elsewhere to the bound that is met."""
    op, g, y, (_, low, high) = call.op, call.g, call.y, [*call.node.inputs, None, None][:3]
    needs = [*call.needed, False, False]
    through = is_absorbed(call.node)
    x = call.node.inputs[0]
    if x is not None and not is_float(x):
        return [unclipped(op, g, x, y)]
    dx = None if not needs[0] else g if through else _inside(op, g, y, low, high)
    below = op.sum_to(op.gate(g, _at_low(op, y, low, high)), low, y) if needs[1] and low is not None else None
    above = op.sum_to(op.gate(g, op.GreaterOrEqual(y, high)), high, y) if needs[2] and high is not None else None
    return [dx, below, above]


def _at_low(op: Tape, y: ir.Value, low: ir.Value, high: ir.Value | None) -> ir.Value:
    """Of two bounds in the wrong order the upper one wins."""
    at = op.LessOrEqual(y, low)
    return at if high is None else op.And(at, op.Less(low, high))


def _inside(op: Tape, g: ir.Value, y: ir.Value, low: ir.Value | None, high: ir.Value | None) -> ir.Value:
    bounds = [number(v) for v in (low, high)]
    if all(b is not None or v is None for b, v in zip(bounds, (low, high), strict=True)):
        return inside(op, g, y, *bounds)
    masks = [] if low is None else [op.Greater(y, low)]
    masks += [] if high is None else [op.Less(y, high)]
    if not masks:
        return g
    return op.gate(g, masks[0] if len(masks) == 1 else op.And(*masks))


def _softmax(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, axis: int) -> ir.Value:
    p = _without_nan(op, again(op, y))
    weighted = op.Mul(g, p)
    return op.Sub(weighted, op.Mul(p, op.ReduceSum(weighted, [axis], keepdims=1)))


def _without_nan(op: Tape, y: ir.Value) -> ir.Value:
    """Rows that are masked throughout are not a number. A model that replaces them does so next; their slope is 0."""
    return op.Where(op.IsNaN(y), 0.0, y) if _is_replaced(y) else y


def _is_replaced(y: ir.Value) -> bool:
    same = [u.outputs[0] for u in y.consumers() if u.op_type in ("Cast", "Identity")]
    return any(u.op_type in ("IsNaN", "Where") for u in y.consumers()) or any(_is_replaced(v) for v in same)


defvjp("Softmax", _softmax)
defvjp(
    "LogSoftmax",
    lambda op, g, y, x, *, axis: op.Sub(g, op.Mul(op.Exp(y), op.ReduceSum(g, [axis], keepdims=1))),
)


@vjp("Dropout", slots=(True, True, False))
def _dropout(call: Call) -> list[Gradient]:
    """At inference the identity; in training what the run did: ONNX Runtime removes most such nodes and drops nothing.

    What was kept is known by what came out of it, y / x. At x = 0 nothing tells it, and the gradient is that of the
    mean over masks.
    """
    op, y, g, (x, ratio, training) = call.op, call.node.outputs[0], call.grads[0], [*call.node.inputs, None, None][:3]
    flag = constant(training)
    if g is None or training is None or (flag is not None and not flag.any()):
        return [g]
    silent = op.Equal(x, 0.0)
    scale = op.Where(op.Or(silent, op.Not(training)), 1.0, op.Div(y, op.Where(silent, 1.0, x)))
    dx = op.Mul(g, scale)
    if ratio is None or not call.needed[1]:
        return [dx]
    # at a ratio of 0 nothing tells whether the node drops: what it would do is taken for what it did
    changed = op.gate(op.Mul(g, y), op.Or(op.Not(op.Equal(x, y)), op.Equal(ratio, 0.0)))
    share = op.ReduceSum(op.Div(changed, op.Sub(1.0, op.cast(ratio, g.dtype))), keepdims=0)
    return [dx, op.reshape_like(op.cast(op.Where(training, share, 0.0), ratio.dtype), ratio)]
