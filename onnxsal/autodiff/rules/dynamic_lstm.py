"""LSTM on bytes (DynamicQuantizeLSTM): the gradient is that of the LSTM with the numbers its weights stand for.

The forward node stays as it is; inputs and states, which it rounds at every turn, pass straight through.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from onnxsal.autodiff.contrib import MICROSOFT
from onnxsal.autodiff.decompose import made_of
from onnxsal.autodiff.registry import Call
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

_OWN = ("activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget")


def _lstm(op: Tape, call: Call, x: ir.Value, w: ir.Value, r: ir.Value, *rest: Any) -> list[ir.Value]:
    """Weights are [directions, inputs, 4 hidden], as the standard's are turned round."""
    given: list[Any] = [*rest, *(None,) * (9 - len(rest))]
    b, lengths, h, c, p, *steps = given
    weights = (_weight(op, w, steps[0], steps[1]), _weight(op, r, steps[2], steps[3]))
    own = {name: call.attributes[name] for name in _OWN if name in call.attributes}
    return list(op.emit("LSTM", x, *weights, b, lengths, h, c, p, outputs=3, **own))


def _weight(op: Tape, w: ir.Value, scale: ir.Value, zero: ir.Value | None) -> ir.Value:
    """One step a direction, or one a direction and unit."""
    wide = [0, 1, -1] if len(dims(scale) or ()) == 2 else [-1, 1, 1]
    number = op.cast(w, ir.DataType.FLOAT)
    if zero is not None:
        number = op.Sub(number, op.cast(op.Reshape(zero, wide), ir.DataType.FLOAT))
    return op.Transpose(op.Mul(number, op.Reshape(scale, wide)), perm=[0, 2, 1])


made_of("DynamicQuantizeLSTM", _lstm, domain=MICROSOFT, slots=(True, False, False, True, False, True, True, True))
