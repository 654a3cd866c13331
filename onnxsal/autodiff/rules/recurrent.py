"""LSTM, GRU and RNN by what they are made of: one product for all inputs, then a Scan over time for each direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from onnxsal.autodiff.decompose import made_of
from onnxsal.autodiff.registry import Call
from onnxsal.graph.tape import Tape

Step = Callable[[Tape, ir.Value, list[ir.Value]], list[ir.Value]]
"""From the input's share of a turn and the states to the new states, the first of which is put out."""


def _recurrent(op: Tape, call: Call, x: ir.Value, state_count: int, step: Callable[[int], tuple[ir.Value, Step]],
               given: tuple[ir.Value | None, list[ir.Value | None]]) -> list[ir.Value]:  # fmt: skip
    """Return Y and the last states; ``step(d)`` gives a direction's inputs [T, B, G] and its cell."""
    lengths, initial = given
    lengths = None if lengths is None else op.cast(lengths, ir.DataType.INT64)
    ways = {"forward": [0], "reverse": [1], "bidirectional": [0, 1]}[call.attributes["direction"]]
    runs = []
    for d, way in enumerate(ways):
        fed, cell = step(d)
        start = [_start(op, v, d, x, call) for v in initial]
        if lengths is None:
            runs.append(_scan(op, cell, start, fed, way))
        else:
            turned = op.ReverseSequence(fed, lengths, time_axis=0, batch_axis=1) if way else fed
            *last, y = _scan(op, _stopping(cell, lengths), [op.const(0, ir.DataType.INT64), *start], turned, 0)
            runs.append([*last[1:], op.ReverseSequence(y, lengths, time_axis=0, batch_axis=1) if way else y])
    batch_first = call.attributes.get("layout", 0)
    y = op.Concat(*(op.Unsqueeze(run[-1], [1]) for run in runs), axis=1)
    lasts = [op.Concat(*(op.Unsqueeze(run[i], [0]) for run in runs), axis=0) for i in range(state_count)]
    if batch_first:
        return [op.Transpose(y, perm=[2, 0, 1, 3]), *(op.Transpose(v, perm=[1, 0, 2]) for v in lasts)]
    return [y, *lasts]


def _start(op: Tape, given: ir.Value | None, d: int, x: ir.Value, call: Call) -> ir.Value:
    axis = 1 if call.attributes.get("layout", 0) else 0
    if given is not None:
        return op.Gather(given, op.const(d), axis=axis)  # type: ignore[no-any-return]
    batch = op.Shape(x, start=1, end=2)  # x is time first by now
    return op.Expand(op.const(0, x.dtype), op.Concat(batch, [call.attributes["hidden_size"]], axis=0))  # type: ignore[no-any-return]


def _scan(op: Tape, cell: Step, start: Sequence[ir.Value], fed: ir.Value, way: int) -> list[ir.Value]:
    inner = op.body()
    shapes = [None] * len(start)
    states = [inner.argument(v, s) for v, s in zip(start, shapes, strict=True)]
    share = inner.argument(fed, None if fed.shape is None else list(fed.shape)[1:])
    new = cell(inner, share, states)
    hidden = new[1] if new[0].dtype == ir.DataType.INT64 else new[0]
    put_out = new.pop() if len(new) > len(states) else hidden
    made = op.Scan(*start, fed, body=inner.give(*new, put_out), num_scan_inputs=1, scan_input_directions=[way],
                   scan_output_directions=[way], outputs=len(start) + 1)  # fmt: skip
    for value, like in zip(made, [*start, fed], strict=True):
        value.type = like.type
    return list(made)


def _stopping(cell: Step, lengths: ir.Value) -> Step:
    """A cell that counts turns: behind the end of a sequence its states stay and its output is 0."""

    def step(op: Tape, share: ir.Value, states: list[ir.Value]) -> list[ir.Value]:
        turn, *old = states
        alive = op.Unsqueeze(op.Less(turn, lengths), [1])
        new = cell(op, share, old)
        kept = [op.Where(alive, a, b) for a, b in zip(new, old, strict=True)]
        return [op.Add(turn, 1), *kept, op.Where(alive, new[0], 0.0)]

    return step


def _activations(call: Call, d: int, defaults: Sequence[str]) -> list[Callable[[Tape, ir.Value], ir.Value]]:
    """Return a direction's functions; parameters are handed out in order to those that take them."""
    per, a = len(defaults), call.attributes
    ways = 2 if a["direction"] == "bidirectional" else 1
    names = [str(n).lower() for n in (a.get("activations") or list(defaults) * ways)]
    alphas, betas = list(a.get("activation_alpha") or []), list(a.get("activation_beta") or [])
    made = []
    for name in names:
        alpha = alphas.pop(0) if name in _ALPHA and alphas else _ALPHA.get(name, 0.0)
        beta = betas.pop(0) if name in _BETA and betas else _BETA.get(name, 0.0)
        made.append(_activation(name, alpha, beta))
    return made[d * per : (d + 1) * per]


_ALPHA = {"leakyrelu": 0.01, "thresholdedrelu": 1.0, "elu": 1.0, "hardsigmoid": 0.2, "affine": 1.0, "scaledtanh": 1.0}
_BETA = {"hardsigmoid": 0.5, "affine": 0.0, "scaledtanh": 1.0}


def _activation(name: str, alpha: float, beta: float) -> Callable[[Tape, ir.Value], ir.Value]:
    table: dict[str, Callable[[Tape, ir.Value], ir.Value]] = {
        "leakyrelu": lambda op, z: op.LeakyRelu(z, alpha=alpha),
        "thresholdedrelu": lambda op, z: op.ThresholdedRelu(z, alpha=alpha),
        "elu": lambda op, z: op.Elu(z, alpha=alpha),
        "hardsigmoid": lambda op, z: op.HardSigmoid(z, alpha=alpha, beta=beta),
        "affine": lambda op, z: op.Add(op.Mul(z, alpha), beta),
        "scaledtanh": lambda op, z: op.Mul(op.Tanh(op.Mul(z, beta)), alpha),
    }
    plain = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}
    return table[name] if name in table else lambda op, z: op.emit(plain[name], z)  # type: ignore[return-value]


def _clipped(op: Tape, z: ir.Value, call: Call) -> ir.Value:
    bound = call.attributes.get("clip")
    return z if not bound else op.Clip(z, -float(bound), float(bound))


def _at(op: Tape, v: ir.Value, d: int) -> ir.Value:
    return op.Gather(v, op.const(d), axis=0)  # type: ignore[no-any-return]


def _turned(op: Tape, v: ir.Value) -> ir.Value:
    return op.Transpose(v, perm=[1, 0])  # type: ignore[no-any-return]


def _time_first(op: Tape, x: ir.Value, call: Call) -> ir.Value:
    return op.Transpose(x, perm=[1, 0, 2]) if call.attributes.get("layout", 0) else x


def _lstm(op: Tape, call: Call, x, w, r, b=None, lengths=None, h=None, c=None, p=None) -> list[ir.Value]:  # type: ignore[no-untyped-def]
    x = _time_first(op, x, call)

    def direction(d: int) -> tuple[ir.Value, Step]:
        f, g, out = _activations(call, d, ("Sigmoid", "Tanh", "Tanh"))
        fed = op.MatMul(x, _turned(op, _at(op, w, d)))
        if b is not None:
            fed = op.Add(fed, op.Add(*op.Split(_at(op, b, d), axis=0, num_outputs=2, outputs=2)))
        back = _turned(op, _at(op, r, d))
        peeps = None if p is None else op.Split(_at(op, p, d), axis=0, num_outputs=3, outputs=3)

        def cell(inner: Tape, share: ir.Value, states: list[ir.Value]) -> list[ir.Value]:
            hidden, memory = states
            z = inner.Add(share, inner.MatMul(hidden, back))
            i, o, forget, new = inner.Split(z, axis=-1, num_outputs=4, outputs=4)
            if peeps is not None:
                i, forget = inner.Add(i, inner.Mul(peeps[0], memory)), inner.Add(forget, inner.Mul(peeps[2], memory))
            i = f(inner, _clipped(inner, i, call))
            forget = inner.Sub(1.0, i) if call.attributes["input_forget"] else f(inner, _clipped(inner, forget, call))
            memory = inner.Add(inner.Mul(forget, memory), inner.Mul(i, g(inner, _clipped(inner, new, call))))
            o = o if peeps is None else inner.Add(o, inner.Mul(peeps[1], memory))
            return [inner.Mul(f(inner, _clipped(inner, o, call)), out(inner, memory)), memory]

        return fed, cell

    return _recurrent(op, call, x, 2, direction, (lengths, [h, c]))


def _gru(op: Tape, call: Call, x, w, r, b=None, lengths=None, h=None) -> list[ir.Value]:  # type: ignore[no-untyped-def]
    x = _time_first(op, x, call)
    later = call.attributes["linear_before_reset"]
    size = call.attributes["hidden_size"]

    def direction(d: int) -> tuple[ir.Value, Step]:
        f, g = _activations(call, d, ("Sigmoid", "Tanh"))
        fed = op.MatMul(x, _turned(op, _at(op, w, d)))
        bias = None
        if b is not None:
            own, bias = op.Split(_at(op, b, d), axis=0, num_outputs=2, outputs=2)
            fed = op.Add(fed, own)
        back = _turned(op, _at(op, r, d))
        gates, candidate = op.Split(back, [2 * size, size], axis=1, outputs=2)
        biases = (None, None) if bias is None else op.Split(bias, [2 * size, size], axis=0, outputs=2)

        def cell(inner: Tape, share: ir.Value, states: list[ir.Value]) -> list[ir.Value]:
            (hidden,) = states
            zr, new = inner.Split(share, [2 * size, size], axis=-1, outputs=2)
            zr = _plus(inner, inner.Add(zr, inner.MatMul(hidden, gates)), biases[0])
            z, reset = inner.Split(f(inner, _clipped(inner, zr, call)), axis=-1, num_outputs=2, outputs=2)
            if later:
                own = inner.Mul(reset, _plus(inner, inner.MatMul(hidden, candidate), biases[1]))
            else:
                own = _plus(inner, inner.MatMul(inner.Mul(reset, hidden), candidate), biases[1])
            new = g(inner, _clipped(inner, inner.Add(new, own), call))
            return [inner.Add(inner.Mul(inner.Sub(1.0, z), new), inner.Mul(z, hidden))]

        return fed, cell

    return _recurrent(op, call, x, 1, direction, (lengths, [h]))


def _plus(op: Tape, z: ir.Value, bias: ir.Value | None) -> ir.Value:
    return z if bias is None else op.Add(z, bias)


def _rnn(op: Tape, call: Call, x, w, r, b=None, lengths=None, h=None) -> list[ir.Value]:  # type: ignore[no-untyped-def]
    x = _time_first(op, x, call)

    def direction(d: int) -> tuple[ir.Value, Step]:
        (f,) = _activations(call, d, ("Tanh",))
        fed = op.MatMul(x, _turned(op, _at(op, w, d)))
        if b is not None:
            fed = op.Add(fed, op.Add(*op.Split(_at(op, b, d), axis=0, num_outputs=2, outputs=2)))
        back = _turned(op, _at(op, r, d))

        def cell(inner: Tape, share: ir.Value, states: list[ir.Value]) -> list[ir.Value]:
            return [f(inner, _clipped(inner, inner.Add(share, inner.MatMul(states[0], back)), call))]

        return fed, cell

    return _recurrent(op, call, x, 1, direction, (lengths, [h]))


made_of("LSTM", _lstm)
made_of("GRU", _gru)
made_of("RNN", _rnn)
