"""EigenCAM: what the layer's activations have most in common, whatever the class."""

from __future__ import annotations

import math

import onnx_ir as ir

from onnxsal.anatomy import Layer
from onnxsal.graph import Program
from onnxsal.graph.program import Trace
from onnxsal.methods.parts import activation
from onnxsal.methods.registry import Cost, method

ITERATIONS = 30


@method(
    "eigencam",
    pools=True,
    paper="Muhammad & Yeasin 2020, arXiv:2008.00299",
    when="no gradient and no class: what stands out in the layer; works on any operator",
    rules=None,
    cost=Cost(lambda o, k: 1, lambda o, k: 0),
)
def eigencam(score: Program, layer: Layer) -> Program:
    """Activations projected on their first right singular direction; [B, h, w], the sign such that the sum is positive.

    The paper writes A = U S V^T and projects A on V's first column; A is [h w, K] here, raw (not centred). 30 power
    iterations on the smaller of A A^T and A^T A; the projection has length sigma_1.
    """
    op = score.extend()
    positions = math.prod(layer.grid)
    maps = op.Reshape(activation(op, layer), [0, layer.channels, positions])
    direction = _first_left(op, maps, positions, layer.channels)
    sign = op.Sign(op.ReduceSum(direction, [1], keepdims=1))
    flipped = op.Mul(direction, op.Where(op.Equal(sign, 0.0), 1.0, sign))
    return op.finish(saliency=op.Reshape(flipped, [0, *layer.grid]))


def _first_left(op: Trace, maps: ir.Value, positions: int, channels: int) -> ir.Value:
    """Return sigma_1 u_1 of A = maps^T [h w, K], [B, h w, 1]."""
    columns = op.Transpose(maps, perm=[0, 2, 1])
    small = op.MatMul(columns, maps) if positions <= channels else op.MatMul(maps, columns)
    # Scaled to trace 1, so that powers of large activations do not overflow.
    small = op.Div(small, op.Add(op.ReduceMax(op.Abs(small), [1, 2], keepdims=1), 1e-30))
    v = op.ReduceSum(small, [2], keepdims=1)
    for _ in range(ITERATIONS):
        v = _unit(op, op.MatMul(small, v))
    right = _unit(op, op.MatMul(maps, v)) if positions <= channels else v
    return op.MatMul(columns, right)


def _unit(op: Trace, v: ir.Value) -> ir.Value:
    return op.Div(v, op.Add(op.ReduceL2(v, [1], keepdims=1), 1e-30))
