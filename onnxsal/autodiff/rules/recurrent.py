"""LSTM, GRU and RNN: all turns at once, but for one short loop back through time.

The node itself puts out the hidden state behind every turn, so its gates are computed again for all turns in one
product, and their slopes with them (an LSTM's memory first, by a loop of elementwise steps). Back through time goes a
Scan whose turn is one small product; the gradients of inputs, weights and biases are those of the cell laid out for all
turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, Rule, register
from onnxsal.autodiff.rules.cells import Given, Turns, Values, between, gru, rnn, sized
from onnxsal.autodiff.rules.lstm import lstm
from onnxsal.autodiff.walk import backward
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

_LAST = 2**31 - 1
_HIDDEN, _LENGTHS = 5, 4
"""Inputs of the first state and of the lengths of sequences."""

Turn = Callable[[Tape, ir.Value, Values], ir.Value]


@dataclass(frozen=True)
class _Layer:
    """A node, time first."""

    call: Call
    x: ir.Value
    y: ir.Value
    """[T, D, B, H]"""
    lengths: ir.Value | None
    alive: ir.Value | None
    """bool [T, B, 1]: whether a sequence has not ended; None where all are as long as the input."""

    @property
    def ways(self) -> list[int]:
        """0 for a direction that goes forward in time, 1 for one that goes back."""
        return {"forward": [0], "reverse": [1], "bidirectional": [0, 1]}[self.call.attributes["direction"]]

    @property
    def stacked(self) -> int:
        """The axis of directions in states that are given or put out."""
        return 1 if self.call.attributes.get("layout", 0) else 0

    def state(self, value: ir.Value | None, d: int) -> ir.Value:
        """Return a direction's part [B, H] of a state; zeros where none is given."""
        op, shape = self.call.op, [*(dims(self.x) or ())[1:2], self.call.attributes["hidden_size"]]
        if value is not None:
            return sized(op.Gather(value, op.const(d), axis=self.stacked), shape)
        zeros = op.Concat(op.Shape(self.x, start=1, end=2), [shape[1]], axis=0)
        return sized(op.Expand(op.const(0, self.x.dtype), zeros), shape)

    def unless_ended(self, value: ir.Value, other: float) -> ir.Value:
        """Return a value of all turns with ``other`` in place of what lies behind the end of a sequence."""
        if self.alive is None:
            return value
        return sized(
            self.call.op.Where(self.alive, value, other), [*(dims(self.alive) or ())[:2], (dims(value) or (None,))[-1]]
        )


@dataclass(frozen=True)
class _Run:
    """One direction's part in a Scan: what it starts with, what it reads of every turn, what a turn does."""

    way: int
    start: Values
    reads: Values
    step: Callable[[Tape, Values, Values], tuple[Values, Values]]
    """From states and reads to the new states, and to what is written down of the turn, one for every state."""


def _rule(cell: Callable[[Given], Turns], starts: Sequence[int]) -> Callable[[Call], list[Gradient]]:
    def apply(call: Call) -> list[Gradient]:
        layer = _layer(call)
        first = [[layer.state(_input(call, i), d) for i in starts] for d in range(len(layer.ways))]
        given = [_given(layer, d, states) for d, states in enumerate(first)]
        cells = [cell(each) for each in given]
        ends = _scan(call.op, [_backwards(layer, d, turns) for d, turns in enumerate(cells)])
        seeds = {}
        for each, turns, (_, written) in zip(given, cells, ends, strict=True):
            g = [layer.unless_ended(sized(v, dims(each.before) or ()), 0.0) for v in written]
            seeds.update(dict(zip(turns.into, turns.pulled(call.op, g), strict=True)))
        old = [v for each, turns in zip(given, cells, strict=True) for v in (each.before, *turns.stops)]
        found = _dense(call, seeds, old)
        for k, index in enumerate(starts):
            if index < len(call.needed) and call.needed[index]:
                parts = [call.op.Unsqueeze(states[k], [layer.stacked]) for states, _ in ends]
                found[index] = call.op.Concat(*parts, axis=layer.stacked)
        return found

    return apply


def _input(call: Call, index: int) -> ir.Value | None:
    return call.node.inputs[index] if index < len(call.node.inputs) else None


def _layer(call: Call) -> _Layer:
    op, x, y = call.op, call.node.inputs[0], _put_out(call)
    assert x is not None
    shape = dims(x) or (op.unique("turns"), op.unique("batch"), None)
    if call.attributes.get("layout", 0):
        x = sized(op.Transpose(x, perm=[1, 0, 2]), [shape[1], shape[0], shape[2]])
        y = op.Transpose(y, perm=[1, 2, 0, 3])
    named = [op.unique("axis") if d is None else d for d in (dims(x) or shape)[:2]]
    if x.shape is None or None in (dims(x) or ())[:2]:
        x = sized(op.Identity(x), [*named, (dims(x) or shape)[2]])
    lengths = _input(call, _LENGTHS)
    if lengths is None:
        return _Layer(call, x, y, None, None)
    lengths = op.cast(lengths, ir.DataType.INT64)
    alive = sized(op.Unsqueeze(op.Less(_numbers(op, x), lengths), [2]), [*(dims(x) or ())[:2], 1])
    return _Layer(call, x, y, lengths, alive)


def _numbers(op: Tape, x: ir.Value) -> ir.Value:
    """Return the numbers of the turns, [T, 1]."""
    count = op.Squeeze(op.Shape(x, start=0, end=1), [0])
    turns = op.Range(op.const(0, ir.DataType.INT64), count, op.const(1, ir.DataType.INT64))
    return op.Unsqueeze(turns, [1])


def _put_out(call: Call) -> ir.Value:
    """Return the states behind all turns; a node that puts out the last alone puts them out from here on.

    A second node beside it would be merged with it by ONNX Runtime, which fails where their outputs differ.
    """
    node, states = call.node, call.node.outputs[0]
    if not states.name:
        states.name, states.type = call.op.unique(f"{node.op_type}_states"), node.inputs[0].type  # type: ignore[union-attr]
    return states


def _given(layer: _Layer, d: int, states: Values) -> Given:
    op, way, hidden = layer.call.op, layer.ways[d], states[0]
    y, first = op.Gather(layer.y, op.const(d), axis=1), op.Unsqueeze(hidden, [0])
    if way:
        before = op.Concat(op.Slice(y, [1], [_LAST], [0]), first, axis=0)
        if layer.lengths is not None:
            last = op.Equal(op.Add(_numbers(op, layer.x), 1), layer.lengths)
            before = op.Where(op.Unsqueeze(last, [2]), first, before)
    else:
        before = op.Concat(first, op.Slice(y, [0], [-1], [0]), axis=0)
    size = layer.call.attributes["hidden_size"]
    before = sized(before, [*(dims(layer.x) or ())[:2], size])

    def memory(turn: Turn, reads: Values) -> ir.Value:
        return sized(_memory(layer, way, states[1], turn, reads), dims(before) or ())

    return Given(layer.call, d, layer.x, before, memory)


def _memory(layer: _Layer, way: int, start: ir.Value, turn: Turn, reads: Values) -> ir.Value:
    """Return an LSTM's memory before every turn: its states are put out behind the last turn alone."""

    def step(inner: Tape, states: Values, read: Values) -> tuple[Values, Values]:
        new = turn(inner, states[0], read)
        kept = new if layer.alive is None else inner.Where(read[-1], new, states[0])
        return [kept], states

    reads = reads if layer.alive is None else [*reads, layer.alive]
    # forward in its own time, where the loop of gradients goes back: the other way round
    ((_, written),) = _scan(layer.call.op, [_Run(1 - way, [start], reads, step)])
    return written[0]


def _backwards(layer: _Layer, d: int, turns: Turns) -> _Run:
    """Return how the gradients of a direction's states go back through its turns."""
    g, way = layer.call.grads, layer.ways[d]
    states = [layer.state(g[i] if i < len(g) else None, d) for i in range(1, 1 + turns.states)]
    reads = [layer.unless_ended(v, 0.0) for v in turns.factors]
    kept = [layer.unless_ended(v, 1.0) for v in turns.kept]
    keep = _keep(layer, turns)
    own = _of_turns(layer, g[0], d)
    counts = len(reads), len(reads) + len(kept)

    def step(inner: Tape, old: Values, read: Values) -> tuple[Values, Values]:
        factors, shares, rest = read[: counts[0]], read[counts[0] : counts[1]], read[counts[1] :]
        hidden = old[0] if own is None else inner.Add(old[0], rest[-1])
        new = turns.step(inner, [hidden, *old[1:]], factors, shares)
        if keep is not None:
            new[0] = inner.Add(new[0], inner.Mul(hidden, rest[0]))
        return new, [hidden, *old[1:]]

    return _Run(way, states, [*reads, *kept, *(v for v in (keep, own) if v is not None)], step)


def _keep(layer: _Layer, turns: Turns) -> ir.Value | None:
    if turns.keep is not None or layer.alive is None:
        return None if turns.keep is None else layer.unless_ended(turns.keep, 1.0)
    zero = layer.call.op.const(np.zeros((1, 1, 1)), layer.x.dtype)
    return layer.unless_ended(sized(zero, [1, 1, 1]), 1.0)


def _of_turns(layer: _Layer, g: Gradient, d: int) -> ir.Value | None:
    """Return a direction's part [T, B, H] of the gradient of what is put out at every turn."""
    if g is None:
        return None
    op = layer.call.op
    if layer.stacked:
        g = op.Transpose(g, perm=[1, 2, 0, 3])
    own = op.Gather(g, op.const(d), axis=1)
    own = sized(own, [*(dims(layer.x) or ())[:2], layer.call.attributes["hidden_size"]])
    return layer.unless_ended(own, 0.0)


def _scan(op: Tape, runs: Sequence[_Run]) -> list[tuple[Values, Values]]:
    """Go through all directions in one loop, each against its own time; return last states and what was written."""
    inner = op.body()
    states = [[inner.argument(v) for v in run.start] for run in runs]
    # A body whose inputs have no rank is one whose results have none, and ONNX Runtime refuses to run it.
    reads = [[inner.argument(v, (dims(v) or (None,) * 3)[1:]) for v in run.reads] for run in runs]
    made = [run.step(inner, old, read) for run, old, read in zip(runs, states, reads, strict=True)]
    body = _given_out(inner, [v for new, _ in made for v in new] + [v for _, written in made for v in written])
    count = sum(len(run.start) for run in runs)
    results = op.emit(
        "Scan", *(v for run in runs for v in run.start), *(v for run in runs for v in run.reads), body=body,
        num_scan_inputs=sum(len(run.reads) for run in runs),
        scan_input_directions=[1 - run.way for run in runs for _ in run.reads],
        scan_output_directions=[1 - run.way for run in runs for _ in run.start], outputs=2 * count,
    )  # fmt: skip
    for value, like in zip(results, [v for run in runs for v in run.start] * 2, strict=True):
        value.type = like.type
    last, written = iter(results[:count]), iter(results[count:])
    return [([next(last) for _ in run.start], [next(written) for _ in run.start]) for run in runs]


def _given_out(inner: Tape, values: Values) -> ir.Graph:
    """Return the body with these results; what a node of its own computes is given as it is, once."""
    for value in values:
        own = value.producer() is not None and value not in inner.graph.outputs
        inner.graph.outputs.append(value if own else inner.copy(value))
    return inner.graph


def _dense(call: Call, seeds: dict[ir.Value, ir.Value], old: Values) -> list[Gradient]:
    """Return the gradients of the inputs but for the states, through the cells; one that is fed twice counts once."""
    inputs, own = list(call.node.inputs), {0, 1, 2, 3, 7}
    wanted = [v for i, v in enumerate(inputs) if v is not None and i in own and call.needed[i]]
    wanted = list(dict.fromkeys(wanted))
    nodes = between(list(seeds), [*old, *(v for v in inputs if v is not None)])
    grads = dict(zip(wanted, backward(call.op, seeds, wanted, nodes=nodes), strict=True))
    return [grads.pop(v, None) if v is not None and i in own else None for i, v in enumerate(inputs)]


_SLOTS = (True, True, True, True, False, True, True, True)
register(Rule("LSTM", "", _rule(lstm, (_HIDDEN, _HIDDEN + 1)), _SLOTS))
register(Rule("GRU", "", _rule(gru, (_HIDDEN,)), _SLOTS[:6]))
register(Rule("RNN", "", _rule(rnn, (_HIDDEN,)), _SLOTS[:6]))
