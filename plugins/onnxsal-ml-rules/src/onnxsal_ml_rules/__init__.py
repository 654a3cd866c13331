"""Gradients of two operators of ``ai.onnx.ml``: g is the gradient of the output y, x the input, [N, C]."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

import onnxsal
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Tape

__all__: list[str] = []

DOMAIN = "ai.onnx.ml"


def _normalizer(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, norm: str = "MAX") -> ir.Value:
    """y = x / |x| along the last axis, and y = x where |x| is 0: the gradient there is 0, for want of a better one."""
    x = op.cast(x, g.dtype)
    size, slope = _norm(op, x, norm)
    zero = op.Equal(size, 0.0)
    along = op.Mul(slope, op.ReduceSum(op.Mul(g, y), [-1], keepdims=1))
    return op.Where(zero, 0.0, op.Div(op.Sub(g, along), op.Where(zero, 1.0, size)))


def _norm(op: Tape, x: ir.Value, norm: str) -> tuple[ir.Value, ir.Value]:
    """Return a norm of x and its derivative by x; equal largest values share it."""
    if norm == "L2":
        size = op.ReduceL2(x, [-1], keepdims=1)
        return size, op.Div(x, op.Where(op.Equal(size, 0.0), 1.0, size))
    if norm == "L1":
        return op.ReduceL1(x, [-1], keepdims=1), op.Sign(x)
    size = op.ReduceMax(x, [-1], keepdims=1)
    hit = op.cast(op.Equal(x, size), x.dtype)
    return size, op.Div(hit, op.ReduceSum(hit, [-1], keepdims=1))


def _linear_regressor(
    op: Tape,
    g: ir.Value,
    y: ir.Value,
    x: ir.Value,
    *,
    coefficients: Sequence[float] = (),
    targets: int = 1,
    post_transform: str = "NONE",
) -> ir.Value:
    """y = f(x W^T + b), W [targets, C]."""
    before = _through(op, g, y, post_transform)
    weights = op.Reshape(list(coefficients), [targets, -1])
    return op.cast(op.MatMul(before, weights), x.dtype)


def _through(op: Tape, g: ir.Value, y: ir.Value, transform: str) -> ir.Value:
    if transform == "NONE":
        return g
    if transform == "LOGISTIC":
        return op.Mul(g, op.Mul(y, op.Sub(1.0, y)))
    if transform == "SOFTMAX":
        return op.Mul(y, op.Sub(g, op.ReduceSum(op.Mul(g, y), [-1], keepdims=1)))
    raise UnsupportedError(
        f"LinearRegressor with post_transform={transform!r} has no gradient rule in onnxsal-ml-rules"
    )


onnxsal.defvjp("Normalizer", _normalizer, domain=DOMAIN)
onnxsal.defvjp("LinearRegressor", _linear_regressor, domain=DOMAIN)
