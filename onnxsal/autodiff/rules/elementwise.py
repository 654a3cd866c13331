"""Rules of elementwise operators: arithmetic and the functions of one variable."""

from __future__ import annotations

import math

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, defvariadic, defvjp, vjp
from onnxsal.autodiff.rules.common import number
from onnxsal.autodiff.rules.gates import silu_input, silu_slope
from onnxsal.autodiff.rules.gelu import erf_gate, erf_gate_gradient
from onnxsal.graph.shapes import is_float
from onnxsal.graph.signs import above_zero
from onnxsal.graph.tape import Tape

# Arithmetic
defvjp("Add", lambda op, g, y, a, b: g, lambda op, g, y, a, b: g, broadcasts=True)
defvjp("Sub", lambda op, g, y, a, b: g, lambda op, g, y, a, b: op.Neg(g), broadcasts=True)
defvjp(
    "Div",
    lambda op, g, y, a, b: op.Div(g, b),
    lambda op, g, y, a, b: op.Neg(op.Mul(op.Div(g, b), y)),
    broadcasts=True,
)
defvariadic("Sum", lambda op, g, y, i, *xs: g, broadcasts=True)
defvariadic("Mean", lambda op, g, y, i, *xs: op.Mul(g, 1 / len(xs)), broadcasts=True)
defvjp("Neg", lambda op, g, y, x: op.Neg(g))
defvjp("Abs", lambda op, g, y, x: op.Mul(g, op.Sign(x)))
defvjp("Reciprocal", lambda op, g, y, x: op.Neg(op.Mul(g, op.Mul(y, y))))
defvjp("Identity", lambda op, g, y, x: g)


@vjp("Mul", slots=(True, True))
def _mul(call: Call) -> list[Gradient]:
    """g b and g a; x sigmoid(x) and x (1 + erf(s x)) in one step, which reads and multiplies less."""
    op, g, y, (a, b) = call.op, call.g, call.y, call.node.inputs
    assert a is not None
    assert b is not None
    place = silu_input(call.node)
    gate = a if place == 1 else b
    if place is not None and call.needed[place] and gate not in call.wrt:
        slope = silu_slope(op, g, y, gate)
        return [slope if i == place else None for i in (0, 1)]
    gelu = erf_gate(call.node)
    if gelu is not None and call.needed[gelu.place] and not gelu.between & call.wrt:
        x = (a, b)[gelu.place]
        return [erf_gate_gradient(op, g, x, gelu.scale) if i == gelu.place else None for i in (0, 1)]
    da = op.sum_to(op.Mul(g, b), a, y) if call.needed[0] else None
    return [da, op.sum_to(op.Mul(g, a), b, y) if call.needed[1] else None]


# Powers, exponentials, logarithms
def _sqrt(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value) -> ir.Value:
    """g / (2 y), and 0 at 0: so are the slopes of a norm there, which is a root of squares, and of silence."""
    half = op.Mul(g, 0.5)
    if above_zero(x):
        return op.Div(half, y)
    zero = op.Equal(y, 0.0)
    return op.Div(op.Where(zero, 0.0, half), op.Where(zero, 1.0, y))


def _log(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value) -> ir.Value:
    """g / x; where g is 0 it stays 0 at x = 0 too: what is bounded behind a logarithm asks nothing of it."""
    if above_zero(x):
        return op.Div(g, x)
    unasked = op.And(op.Equal(x, 0.0), op.Equal(g, 0.0))
    return op.Div(g, op.Where(unasked, 1.0, x))


defvjp("Sqrt", _sqrt)
defvjp("Exp", lambda op, g, y, x: op.Mul(g, y))
defvjp("Log", _log)
defvjp("Erf", lambda op, g, y, x: op.Mul(g, op.Mul(op.Exp(op.Neg(op.Mul(x, x))), 2 / math.sqrt(math.pi))))


# Trigonometry
def _cosine(op: Tape, x: ir.Value) -> ir.Value:
    """cos x; in float64, of which ONNX Runtime up to 1.28 has sines alone, as 1 - 2 sin² x/2, to its last bits."""
    if x.dtype != ir.DataType.DOUBLE:
        return op.Cos(x)
    half = op.Sin(op.Mul(x, 0.5))
    return op.Sub(1.0, op.Mul(op.Mul(half, half), 2.0))


defvjp("Sin", lambda op, g, y, x: op.Mul(g, _cosine(op, x)))
defvjp("Cos", lambda op, g, y, x: op.Neg(op.Mul(g, op.Sin(x))))
defvjp("Tan", lambda op, g, y, x: op.Mul(g, op.Add(op.Mul(y, y), 1.0)))
defvjp("Asin", lambda op, g, y, x: op.Div(g, op.Sqrt(op.Sub(1.0, op.Mul(x, x)))))
defvjp("Acos", lambda op, g, y, x: op.Neg(op.Div(g, op.Sqrt(op.Sub(1.0, op.Mul(x, x))))))
defvjp("Atan", lambda op, g, y, x: op.Div(g, op.Add(op.Mul(x, x), 1.0)))
defvjp("Sinh", lambda op, g, y, x: op.Mul(g, op.Cosh(x)))
defvjp("Cosh", lambda op, g, y, x: op.Mul(g, op.Sinh(x)))
defvjp("Tanh", lambda op, g, y, x: op.Mul(g, op.Sub(1.0, op.Mul(y, y))))
defvjp("Asinh", lambda op, g, y, x: op.Div(g, op.Sqrt(op.Add(op.Mul(x, x), 1.0))))
defvjp("Acosh", lambda op, g, y, x: op.Div(g, op.Sqrt(op.Sub(op.Mul(x, x), 1.0))))
defvjp("Atanh", lambda op, g, y, x: op.Div(g, op.Sub(1.0, op.Mul(x, x))))

# Choices
defvjp(
    "Where",
    None,
    lambda op, g, y, c, a, b: op.gate(g, c),
    lambda op, g, y, c, a, b: op.Where(c, 0.0, g),
    broadcasts=True,
)


@vjp("Pow", slots=(True, True))
def _pow(call: Call) -> list[Gradient]:
    op, g, y, (x, a) = call.op, call.g, call.y, call.node.inputs
    assert x is not None and a is not None
    dx = op.sum_to(_pow_base(op, g, x, a), x, y) if call.needed[0] else None
    da = op.sum_to(_pow_exponent(op, g, y, x), a, y) if call.needed[1] and is_float(a) else None
    return [dx, da if da is None else op.cast(da, a.dtype)]


def _pow_base(op: Tape, g: ir.Value, x: ir.Value, a: ir.Value) -> ir.Value:
    n = number(a)
    if n == 2:
        return op.Mul(g, op.Mul(x, 2.0))
    if n == 1:
        return g
    if n == 3:
        return op.Mul(g, op.Mul(op.Mul(x, x), 3.0))
    exponent = op.cast(a, x.dtype)
    if above_zero(x) or (n is not None and (n > 1 or n < 0)):
        return op.Mul(g, op.Mul(exponent, op.Pow(x, op.Sub(exponent, 1.0))))
    return _root(op, g, x, exponent)


def _root(op: Tape, g: ir.Value, x: ir.Value, exponent: ir.Value) -> ir.Value:
    """An exponent that may lie in [0, 1): the slope at x = 0 is 0, as that of a square root is; x^0 is constant."""
    small = op.And(op.Less(exponent, 1.0), op.GreaterOrEqual(exponent, 0.0))
    flat = op.And(op.Equal(x, 0.0), small)
    slope = op.Mul(exponent, op.Pow(op.Where(flat, 1.0, x), op.Sub(exponent, 1.0)))
    return op.Mul(op.Where(flat, 0.0, g), slope)


def _pow_exponent(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value) -> ir.Value:
    positive = op.Greater(x, 0.0)
    return op.gate(op.Mul(g, op.Mul(y, op.Log(op.Where(positive, x, 1.0)))), positive)


def _extreme(op: Tape, g: ir.Value, y: ir.Value, index: int, *xs: ir.Value) -> ir.Value:
    """Ties share the gradient equally, as torch.maximum has it."""
    if len(xs) == 1:
        return g
    hits = [op.cast(op.Equal(x, y), g.dtype) for x in xs]
    return op.Div(op.Mul(g, hits[index]), op.total(hits))


defvariadic("Max", _extreme, broadcasts=True)
defvariadic("Min", _extreme, broadcasts=True)


@vjp("Cast")
def _cast(call: Call) -> list[Gradient]:
    """Sums of integer kernels pass what they get; to integers a Cast cuts off, which is a step."""
    x = call.node.inputs[0]
    if x is None or not is_float(call.node.outputs[0]):
        return [None]
    return [call.op.cast(call.g, x.dtype) if is_float(x) else call.g]


@vjp("CastLike", slots=(True, False))
def _cast_like(call: Call) -> list[Gradient]:
    return [*_cast(call), None]


@vjp("Mod", slots=(True, True))
def _mod(call: Call) -> list[Gradient]:
    """x - n y with n constant almost everywhere; n as truncation (fmod) has it, of infinity no number."""
    op, g, y, (a, b) = call.op, call.g, call.y, call.node.inputs
    assert a is not None and b is not None
    whole = op.Round(op.Div(op.Sub(a, y), b))
    return [
        op.sum_to(g, a, y) if call.needed[0] else None,
        op.sum_to(op.Where(op.Equal(g, 0.0), 0.0, op.Neg(op.Mul(g, whole))), b, y) if call.needed[1] else None,
    ]
