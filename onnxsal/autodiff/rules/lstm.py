"""The cell of an LSTM, laid out for all turns at once, and how a turn passes gradients back through it."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.autodiff.rules.cells import Function, Given, Turns, Values, activations, applied, gates_of, parts, slope
from onnxsal.graph.tape import Tape


@dataclass(frozen=True)
class _Gates:
    """What an LSTM's gates are functions of, and the functions; peepholes let them read the memory as well."""

    given: Given
    f: Function
    coupled: bool
    """Whether the forget gate is 1 - i."""
    peeps: Values
    """[H] each of i, o, f; empty where the node has no such weights."""

    def onto(self, op: Tape, z: ir.Value, index: int, memory: ir.Value) -> ir.Value:
        """Return what goes into a gate, with its share of the memory."""
        return op.Add(z, op.Mul(self.peeps[index], memory)) if self.peeps else z

    def at_all(self, z: ir.Value, index: int, memory: ir.Value) -> ir.Value:
        """Return the same for all turns."""
        n, op = self.given.hidden, self.given.call.op
        if not self.peeps:
            return z
        return self.given.turns(op.Add(z, self.given.turns(op.Mul(self.peeps[index], memory), n)), n)

    def turn(self, inner: Tape, memory: ir.Value, read: Values) -> ir.Value:
        """Return c' = f c + i g, from what goes into i and f, and g."""
        i = self.f(inner, self.onto(inner, read[0], 0, memory))
        forget = inner.Sub(1.0, i) if self.coupled else self.f(inner, self.onto(inner, read[1], 2, memory))
        return inner.Add(inner.Mul(forget, memory), inner.Mul(i, read[2]))


@dataclass(frozen=True)
class _Cell:
    """All turns: what goes into the gates, the gates, the memory before and behind, and what of it is shown."""

    gates: _Gates
    into: dict[str, ir.Value]
    i: ir.Value
    forget: ir.Value
    new: ir.Value
    o: ir.Value
    old: ir.Value
    memory: ir.Value
    shown: ir.Value


def lstm(given: Given) -> Turns:
    """c' = f c + i g, h' = o out(c')."""
    op, cell = given.call.op, _cell(given)
    by, by_memory = _slopes(op, cell)
    rows = dict(zip("iofc", parts(op, given.weight(2), [given.hidden] * 4), strict=True))
    matrix, factors = op.Concat(*(rows[name] for name in by), axis=0), op.Concat(*by.values(), axis=-1)

    def total(inner: Tape, g: Values, by_memory: ir.Value) -> ir.Value:
        return inner.Add(g[1], inner.Mul(g[0], by_memory))

    def step(inner: Tape, g: Values, read: Values, share: Values) -> Values:
        of_memory = total(inner, g, read[1])
        wide = inner.Concat(*[of_memory] * (len(by) - 1), g[0], axis=-1)
        return [inner.MatMul(inner.Mul(wide, read[0]), matrix), inner.Mul(of_memory, share[0])]

    def pulled(op: Tape, g: Values) -> Values:
        of_memory = total(op, g, by_memory)
        return [op.Mul(g[0] if name == "o" else of_memory, factor) for name, factor in by.items()]

    into, kept = [cell.into[name] for name in by], _kept(op, cell, by)
    stops = [cell.old, cell.memory]
    return Turns(into, pulled, [factors, by_memory], step, kept=[kept], stops=stops, states=2)


def _cell(given: Given) -> _Cell:
    op, n, p = given.call.op, given.hidden, given.slot(7)
    f, g, out = activations(given.call, given.d, ("Sigmoid", "Tanh", "Tanh"))
    gates = _Gates(given, f, bool(given.call.attributes["input_forget"]), [] if p is None else parts(op, p, [n] * 3))
    into = dict(zip("iofc", parts(op, gates_of(given), [n] * 4, axis=2), strict=True))
    new = applied(op, g, into["c"])
    old = given.memory(gates.turn, [into["i"], into["f"], new])
    into["i"], into["f"] = gates.at_all(into["i"], 0, old), gates.at_all(into["f"], 2, old)
    i = applied(op, f, into["i"])
    forget = given.turns(op.Sub(1.0, i), n) if gates.coupled else applied(op, f, into["f"])
    memory = given.turns(op.Add(given.turns(op.Mul(forget, old), n), given.turns(op.Mul(i, new), n)), n)
    into["o"] = gates.at_all(into["o"], 1, memory)
    return _Cell(gates, into, i, forget, new, applied(op, f, into["o"]), old, memory, applied(op, out, memory))


def _slopes(op: Tape, cell: _Cell) -> tuple[dict[str, ir.Value], ir.Value]:
    """Return the slopes of the memory (of h' for o) by what goes into every gate, and of h' by the memory."""
    given = cell.gates.given
    by_i = given.turns(op.Sub(cell.new, cell.old), given.hidden) if cell.gates.coupled else cell.new
    by = {"i": slope(op, cell.i, cell.into["i"], by_i)}
    if not cell.gates.coupled:
        by["f"] = slope(op, cell.forget, cell.into["f"], cell.old)
    by["c"] = slope(op, cell.new, cell.into["c"], cell.i)
    by["o"] = slope(op, cell.o, cell.into["o"], cell.shown)
    return by, cell.gates.onto(op, slope(op, cell.shown, cell.memory, cell.o), 1, by["o"])


def _kept(op: Tape, cell: _Cell, by: dict[str, ir.Value]) -> ir.Value:
    """Return the slope of the memory by the old one: what is kept of it, and through gates that read it."""
    kept = cell.gates.onto(op, cell.forget, 0, by["i"])
    return cell.gates.onto(op, kept, 2, by["f"]) if "f" in by else kept
