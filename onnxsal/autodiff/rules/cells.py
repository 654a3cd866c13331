"""Cells of GRU and RNN, laid out for all turns at once, and how a turn passes gradients back through them.

Given the states before every turn, nothing in a cell waits for another turn. Back through time a turn is linear in the
gradients of its states: its factors, too, are known for all turns before the first is gone through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from onnxsal.autodiff.registry import Call
from onnxsal.autodiff.walk import backward
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

Values = list[ir.Value]
Function = Callable[[Tape, ir.Value], ir.Value]


@dataclass(frozen=True)
class Given:
    """One direction of a node, time first: its input [T, B, N], its number, the hidden state before every turn."""

    call: Call
    d: int
    x: ir.Value
    before: ir.Value
    """[T, B, H]"""
    memory: Callable[[Callable[[Tape, ir.Value, Values], ir.Value], Values], ir.Value] = field(repr=False)
    """From an LSTM's turn (old memory, what it reads of [T, B, H]) to the memory before every turn."""

    @property
    def hidden(self) -> int:
        """The number of hidden units."""
        return int(self.call.attributes["hidden_size"])

    def slot(self, index: int) -> ir.Value | None:
        """Return this direction's part of a weight: input ``index`` of the node without its leading axis."""
        inputs = self.call.node.inputs
        value = inputs[index] if index < len(inputs) else None
        if value is None:
            return None
        return sized(self.call.op.Gather(value, self.call.op.const(self.d), axis=0), (dims(value) or ())[1:])

    def weight(self, index: int) -> ir.Value:
        """Return this direction's part of a weight that every node has."""
        value = self.slot(index)
        assert value is not None
        return value

    def turns(self, value: ir.Value, width: int) -> ir.Value:
        """Return a value known to be [T, B, width]."""
        return sized(value, [*(dims(self.before) or ())[:2], width])


@dataclass(frozen=True)
class Turns:
    """A cell at all turns: what goes into its gates, and what going back through a turn takes."""

    into: Values
    """What goes into the gates, [T, B, *]."""
    pulled: Callable[[Tape, Values], Values]
    """From the gradients of the states behind all turns to those of ``into``."""
    factors: Values
    """What a turn back reads, [T, B, *]: 0 where a sequence has ended."""
    step: Callable[[Tape, Values, Values, Values], Values]
    """From gradients of the states behind a turn, factors and kept to those before it, but for what ``keep`` adds."""
    keep: ir.Value | None = None
    """The share of its gradient that the hidden state hands on itself: 1 where a sequence has ended."""
    kept: Values = field(default_factory=list)
    """Further shares of that kind that ``step`` reads."""
    stops: Values = field(default_factory=list)
    """Values that ``into`` reads, and whose share in the gradient is counted with other gates."""
    states: int = 1


def sized(value: ir.Value, shape: Iterable[int | str | None]) -> ir.Value:
    """Return a value whose shape is known, with it written down."""
    value.shape = ir.Shape(list(shape))
    return value


def between(ends: Sequence[ir.Value], stops: Iterable[ir.Value]) -> list[ir.Node]:
    """Return the nodes that ``ends`` are computed by, as far as ``stops``, in order."""
    seen: set[ir.Value] = set(stops)
    nodes: dict[ir.Node, None] = {}
    stack: list[tuple[ir.Value, bool]] = [(value, False) for value in ends]
    while stack:
        value, done = stack.pop()
        node = value.producer()
        if node is None or (not done and value in seen):
            continue
        if done:
            nodes[node] = None
            continue
        seen.add(value)
        stack.append((value, True))
        stack += [(v, False) for v in node.inputs if v is not None]
    return list(nodes)


def slope(op: Tape, y: ir.Value, x: ir.Value, by: ir.Value | None = None) -> ir.Value:
    """Return the derivative of a function of single elements, in the shape of ``x``; ``by`` times that."""
    nodes = between([y], [x])
    for node in nodes:
        for value in node.outputs:
            value.shape = x.shape if value.shape is None else value.shape
    (found,) = backward(op, {y: op.full_like(x, 1) if by is None else by}, [x], nodes=nodes)
    return op.zeros_like(x) if found is None else found


def activations(call: Call, d: int, defaults: Sequence[str]) -> list[Function]:
    """Return a direction's functions; parameters are handed out in order to those that take them."""
    per, a = len(defaults), call.attributes
    ways = 2 if a["direction"] == "bidirectional" else 1
    names = [str(n).lower() for n in (a.get("activations") or list(defaults) * ways)]
    alphas, betas = list(a.get("activation_alpha") or []), list(a.get("activation_beta") or [])
    made: list[Function] = []
    for name in names:
        alpha = alphas.pop(0) if name in _ALPHA and alphas else _ALPHA.get(name, 0.0)
        beta = betas.pop(0) if name in _BETA and betas else _BETA.get(name, 0.0)
        function = _activation(name, alpha, beta)
        made.append(function if len(made) % per == 2 else _clipped(function, call))
    return made[d * per : (d + 1) * per]


_ALPHA = {"leakyrelu": 0.01, "thresholdedrelu": 1.0, "elu": 1.0, "hardsigmoid": 0.2, "affine": 1.0, "scaledtanh": 1.0}
_BETA = {"hardsigmoid": 0.5, "affine": 0.0, "scaledtanh": 1.0}


def _activation(name: str, alpha: float, beta: float) -> Function:
    table: dict[str, Function] = {
        "leakyrelu": lambda op, z: op.LeakyRelu(z, alpha=alpha),
        "thresholdedrelu": lambda op, z: op.ThresholdedRelu(z, alpha=alpha),
        "elu": lambda op, z: op.Elu(z, alpha=alpha),
        "hardsigmoid": lambda op, z: op.HardSigmoid(z, alpha=alpha, beta=beta),
        "affine": lambda op, z: op.Add(op.Mul(z, alpha), beta),
        "scaledtanh": lambda op, z: op.Mul(op.Tanh(op.Mul(z, beta)), alpha),
    }
    plain = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
    return table[name] if name in table else lambda op, z: op.emit(plain[name], z)


def _clipped(function: Function, call: Call) -> Function:
    """What goes into a gate is clipped; the third function of an LSTM takes the memory as it is."""
    bound = call.attributes.get("clip")
    return function if not bound else lambda op, z: function(op, op.Clip(z, -float(bound), float(bound)))


def applied(op: Tape, function: Function, z: ir.Value) -> ir.Value:
    """Return a function of single elements."""
    y = function(op, z)
    y.shape = z.shape
    return y


def _turned(op: Tape, v: ir.Value) -> ir.Value:
    return sized(op.Transpose(v, perm=[1, 0]), reversed(dims(v) or ()))


def _product(given: Given, rows: ir.Value, matrix: ir.Value, bias: ir.Value | None = None) -> ir.Value:
    """Return rows [T, B, K] times a matrix [G, K] turned round, and a bias [G] added."""
    op, width = given.call.op, int(str((dims(matrix) or (0,))[0]))
    y = given.turns(op.MatMul(rows, _turned(op, matrix)), width)
    return y if bias is None else given.turns(op.Add(y, bias), width)


def parts(op: Tape, v: ir.Value, sizes: Sequence[int], axis: int = 0) -> Values:
    """Return a value cut into parts of these sizes."""
    shape = list(dims(v) or ())
    made = list(op.emit("Split", v, list(sizes), axis=axis, outputs=len(sizes)))
    return [sized(each, [*shape[:axis], size, *shape[axis + 1 :]]) for each, size in zip(made, sizes, strict=True)]


def _bias(given: Given) -> tuple[ir.Value | None, ir.Value | None]:
    """Return the biases of the input's weights and of the state's."""
    b = given.slot(3)
    if b is None:
        return None, None
    gates = int(str((dims(b) or (0,))[0])) // 2
    own, back = parts(given.call.op, b, [gates, gates])
    return own, back


def gates_of(given: Given) -> ir.Value:
    """Return what all gates are functions of: x W' + h R' and the biases."""
    op, (own, back) = given.call.op, _bias(given)
    w, r = given.weight(1), given.weight(2)
    fed, held = _product(given, given.x, w, own), _product(given, given.before, r, back)
    return given.turns(op.Add(fed, held), int(str((dims(w) or (0,))[0])))


def _back(op: Tape, g: ir.Value, factors: ir.Value, r: ir.Value, count: int) -> ir.Value:
    """Return the gradients of ``count`` gates, of one state's [B, H], times the state's weights."""
    wide = g if count == 1 else op.Concat(*[g] * count, axis=-1)
    return op.MatMul(op.Mul(wide, factors), r)


def rnn(given: Given) -> Turns:
    """h' = f(x W' + h R' + b)."""
    op, r = given.call.op, given.weight(2)
    (f,) = activations(given.call, given.d, ("Tanh",))
    z = gates_of(given)
    by_z = slope(op, applied(op, f, z), z)
    return Turns(
        [z], lambda op, g: [op.Mul(g[0], by_z)], [by_z], lambda inner, g, read, _: [_back(inner, g[0], read[0], r, 1)]
    )


@dataclass(frozen=True)
class _Gru:
    """What both forms of a GRU have in common."""

    into: Values
    """What goes into the gates z and r, [T, B, 2H], and into the candidate for the new state, [T, B, H]."""
    z: ir.Value
    reset: ir.Value
    held: ir.Value
    """What the candidate reads of the old state."""
    by_new: ir.Value
    by_z: ir.Value
    by_reset: ir.Value
    """Slopes: of the new state by what goes into the candidate and into z, and of r by what goes into it."""


def gru(given: Given) -> Turns:
    """h' = (1 - z) n + z h, where n reads h through the gate r: before its weights or behind them."""
    op, n, r = given.call.op, given.hidden, given.weight(2)
    gates, candidate = parts(op, r, [2 * n, n])
    made = _gru(given, gates, candidate)
    if given.call.attributes["linear_before_reset"]:
        by_r = _times(op, made.by_reset, _times(op, made.by_new, made.held))
        factors = op.Concat(made.by_z, by_r, op.Mul(made.by_new, made.reset), axis=-1)
        opened = op.Concat(made.by_z, by_r, axis=-1)
        return Turns(
            made.into, lambda op, g: [op.Mul(op.Concat(g[0], g[0], axis=-1), opened), op.Mul(g[0], made.by_new)],
            [factors], lambda inner, g, read, _: [_back(inner, g[0], read[0], r, 3)], made.z, stops=[made.reset],
        )  # fmt: skip
    opened = op.Concat(made.by_z, op.Mul(given.before, made.by_reset), axis=-1)

    def both(inner: Tape, g: ir.Value, new: ir.Value, factors: ir.Value) -> tuple[ir.Value, ir.Value]:
        through = inner.MatMul(new, candidate)
        return through, inner.Mul(inner.Concat(g, through, axis=-1), factors)

    def step(inner: Tape, g: Values, read: Values, _: Values) -> Values:
        through, into = both(inner, g[0], inner.Mul(g[0], read[0]), read[1])
        return [inner.Add(inner.MatMul(into, gates), inner.Mul(through, read[2]))]

    def pulled(op: Tape, g: Values) -> Values:
        new = op.Mul(g[0], made.by_new)
        return [both(op, g[0], new, opened)[1], new]

    return Turns(made.into, pulled, [made.by_new, opened, made.reset], step, made.z, stops=[made.reset])


def _times(op: Tape, a: ir.Value, b: ir.Value) -> ir.Value:
    return op.Mul(a, b)


def _gru(given: Given, gates: ir.Value, candidate: ir.Value) -> _Gru:
    op, n, before, (own, back) = given.call.op, given.hidden, given.before, _bias(given)
    f, g = activations(given.call, given.d, ("Sigmoid", "Tanh"))
    biases = [None, None] if back is None else parts(op, back, [2 * n, n])
    fed = parts(op, _product(given, given.x, given.weight(1), own), [2 * n, n], axis=2)
    zr = given.turns(op.Add(fed[0], _product(given, before, gates, biases[0])), 2 * n)
    both = applied(op, f, zr)
    (z, reset), (by_z, by_reset) = (parts(op, v, [n, n], axis=2) for v in (both, slope(op, both, zr)))
    if given.call.attributes["linear_before_reset"]:
        held = _product(given, before, candidate, biases[1])
        share = given.turns(op.Mul(reset, held), n)
    else:
        held = given.turns(op.Mul(reset, before), n)
        share = _product(given, held, candidate, biases[1])
    m = given.turns(op.Add(fed[1], share), n)
    new = applied(op, g, m)
    by_new = slope(op, new, m, given.turns(op.Sub(1.0, z), n))
    return _Gru([zr, m], z, reset, held, by_new, op.Mul(op.Sub(before, new), by_z), by_reset)
