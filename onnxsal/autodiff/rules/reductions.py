"""Rules of reductions: the gradient of the result, spread over what was reduced."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, defvjp, vjp
from onnxsal.autodiff.rules.common import Axes, count_of, integers, keep_axes, rank_of
from onnxsal.graph.tape import Tape

_SMALL = ("ReduceSum", "ReduceMean", "ReduceLogSum")
"""The slopes that do not read x are the same for all that was reduced."""

Slope = Callable[[Tape, ir.Value, ir.Value, ir.Value, Axes], ir.Value]


def reduction(op_type: str, slope: Slope) -> None:
    """Register ``slope(op, g, y, x, axes)``, with g and y having the reduced axes as ones; it may stay that small."""

    @vjp(op_type, slots=(True, False))
    def rule(call: Call) -> list[Gradient]:
        op, x = call.op, call.node.inputs[0]
        assert x is not None
        axes = _axes(call)
        g, y = (v if call.attributes["keepdims"] else keep_axes(op, v, x, axes) for v in (call.g, call.y))
        spread = slope(op, g, y, x, axes)
        small = op_type in _SMALL and axes != []
        return [op.Expand(spread, op.shape_of(x)) if small else spread]


def _axes(call: Call) -> Axes:
    """Return the reduced axes: a list where they are known, else the value that holds them."""
    given, x = [*call.node.inputs, None][1], call.node.inputs[0]
    known = integers(given)
    if given is not None and known is None:
        return given
    if not known and x is not None:
        return [] if call.attributes.get("noop_with_empty_axes") else list(range(rank_of(x)))
    return known or []


def _sum(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, axes: Axes) -> ir.Value:
    return g


def _mean(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, axes: Axes) -> ir.Value:
    n = count_of(op, x, y, axes)
    return op.Mul(g, 1 / n) if isinstance(n, float) and n else op.Div(g, n)


def _l2(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, axes: Axes) -> ir.Value:
    """x / |x|, and 0 at the origin, as torch has it."""
    zero = op.Equal(y, 0.0)
    return op.Mul(op.gate(op.Div(g, op.Where(zero, 1.0, y)), op.Not(zero)), x)


def _product(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, axes: Axes) -> ir.Value:
    """The product of the others: without division where one factor is 0, nothing where two are."""
    zero, at = op.Equal(x, 0.0), _operand(op, axes)
    one_at_zero = op.Where(zero, 1.0, x)
    others = op.ReduceProd(one_at_zero, at, keepdims=1, noop_with_empty_axes=int(axes == []))
    zeros = op.ReduceSum(op.cast(zero, x.dtype), at, keepdims=1, noop_with_empty_axes=int(axes == []))
    spared = op.Sub(zeros, op.cast(zero, x.dtype))  # zeros among the other factors
    return op.Mul(g, op.gate(op.Div(others, one_at_zero), op.Equal(spared, 0.0)))


def _extreme(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, axes: Axes) -> ir.Value:
    """Ties share the gradient equally, as torch.amax has it."""
    hit = op.cast(op.Equal(x, y), x.dtype)
    ties = op.ReduceSum(hit, _operand(op, axes), keepdims=1, noop_with_empty_axes=int(axes == []))
    return op.Mul(op.Div(g, ties), hit)


def _log_sum(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, axes: Axes) -> ir.Value:
    """g / sum; where g is 0 it stays 0 at a sum of 0 too, as behind Log."""
    total = op.Exp(y)
    unasked = op.And(op.Equal(total, 0.0), op.Equal(g, 0.0))
    return op.Div(g, op.Where(unasked, 1.0, total))


def _operand(op: Tape, axes: Axes) -> ir.Value:
    return axes if isinstance(axes, ir.Value) else op.const(axes, ir.DataType.INT64)


reduction("ReduceSum", _sum)
reduction("ReduceMean", _mean)
reduction("ReduceSumSquare", lambda op, g, y, x, axes: op.Mul(op.Mul(g, 2.0), x))
reduction("ReduceL1", lambda op, g, y, x, axes: op.Mul(g, op.Sign(x)))
reduction("ReduceL2", _l2)
reduction("ReduceLogSum", _log_sum)
reduction("ReduceLogSumExp", lambda op, g, y, x, axes: op.Mul(g, op.Exp(op.Sub(x, y))))
reduction("ReduceProd", _product)
reduction("ReduceMax", _extreme)
reduction("ReduceMin", _extreme)


def _cumulative_sum(
    op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, axis: ir.Value, *, exclusive: int, reverse: int
) -> ir.Value:
    return op.CumSum(g, axis, exclusive=exclusive, reverse=1 - reverse)


defvjp("CumSum", _cumulative_sum, None)
