"""The exact Gelu where an exporter wrote it out: x (1 + erf(s x)) in one step.

Node by node the rules would read three intermediate values as large as x, which then live until the gradient is there
and keep the runtime from fusing the forward: a ViT-B/16 took twice torch's memory. In one step x alone is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.autodiff.rules.common import number
from onnxsal.graph.tape import Tape


@dataclass(frozen=True)
class ErfGate:
    """A Mul that computes x (1 + erf(s x)): which input is x, the scale s, and the values in between."""

    place: int
    scale: float
    between: frozenset[ir.Value]


def erf_gate(node: ir.Node) -> ErfGate | None:
    """Return what a Mul computes if it is x (1 + erf(s x)), else None."""
    for place in (0, 1):
        x, other = node.inputs[place], node.inputs[1 - place]
        erf = None if x is None or other is None else _plus_one(other)
        source = erf.producer() if erf is not None else None
        if source is None or source.op_type != "Erf" or source.inputs[0] is None:
            continue
        scale = _scale(source.inputs[0], x)
        if scale is not None:
            return ErfGate(place, scale, frozenset(v for v in (other, erf, source.inputs[0]) if v is not None))
    return None


def erf_gate_gradient(op: Tape, g: ir.Value, x: ir.Value, scale: float) -> ir.Value:
    """g (1 + erf(s x) + x 2 s / sqrt(pi) exp(-s^2 x^2))."""
    wide = op.Mul(x, scale)
    bell = op.Mul(op.Exp(op.Neg(op.Mul(wide, wide))), 2 / math.sqrt(math.pi))
    return op.Mul(g, op.Add(op.Add(op.Erf(wide), 1.0), op.Mul(wide, bell)))


def _plus_one(value: ir.Value) -> ir.Value | None:
    node = value.producer()
    if node is None or node.domain or node.op_type != "Add":
        return None
    a, b = node.inputs
    return a if number(b) == 1 else b if number(a) == 1 else None


def _scale(value: ir.Value, x: ir.Value | None) -> float | None:
    """Return s where a value is s x by a constant, else None."""
    node = value.producer()
    if node is None or node.domain or node.op_type not in ("Mul", "Div"):
        return None
    a, b = node.inputs
    if a is x and (c := number(b)):
        return c if node.op_type == "Mul" else 1 / c
    return number(a) if b is x and node.op_type == "Mul" else None
