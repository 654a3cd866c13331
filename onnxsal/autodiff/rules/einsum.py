"""The rule of Einsum: every operand's gradient is an Einsum of the output's and of the other operands."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, vjp
from onnxsal.autodiff.rules.common import rank_of, size_at
from onnxsal.graph.equations import explicit
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape


@vjp("Einsum")
def _einsum(call: Call) -> list[Gradient]:
    xs = [v for v in call.node.inputs if v is not None]
    terms, out = explicit(call.attributes["equation"], [rank_of(x) for x in xs])
    return [_operand(call, xs, terms, out, i) if need else None for i, need in enumerate(call.needed)]


def _operand(call: Call, xs: list[ir.Value], terms: list[str], out: str, i: int) -> ir.Value:
    op, own = call.op, terms[i]
    others = [(t, x) for j, (t, x) in enumerate(zip(terms, xs, strict=True)) if j != i]
    known = set(out).union(*(t for t, _ in others))
    target = "".join(c for c in dict.fromkeys(own) if c in known)
    equation = ",".join([out, *(t for t, _ in others)]) + "->" + target
    g = op.Einsum(call.g, *(x for _, x in others), equation=equation)
    sizes = _sizes([*terms, out], [*xs, call.y])
    g.shape = ir.Shape([sizes.get(c) for c in target])
    if own != target:
        g = _unspread(op, g, target, dict(zip(own, dims(xs[i]) or (), strict=False)))
    whole = _placed(op, g, xs[i], own, target)
    return whole if whole is not g else _narrowed(op, g, xs[i])


def _sizes(terms: list[str], values: list[ir.Value]) -> dict[str, int | str | None]:
    """The size behind a label; where one operand has 1 and another more, that is broadcast."""
    sizes: dict[str, int | str | None] = {}
    for term, value in zip(terms, values, strict=True):
        for label, size in zip(term, dims(value) or (), strict=False):
            if sizes.get(label) in (None, 1):
                sizes[label] = size
    return sizes


def _unspread(op: Tape, g: ir.Value, target: str, own: dict[str, int | str | None]) -> ir.Value:
    """Sum over axes along which the operand has 1 and another more, before the gradient is put on a diagonal."""
    spread = [k for k, c in enumerate(target) if own.get(c) == 1 and (dims(g) or ())[k] != 1]
    return op.ReduceSum(g, spread, keepdims=1) if spread else g


def _narrowed(op: Tape, g: ir.Value, x: ir.Value) -> ir.Value:
    return op.sum_to(g, x, g)


def _placed(op: Tape, g: ir.Value, x: ir.Value, own: str, target: str) -> ir.Value:
    """Put the gradient where the operand has it: labels summed away spread, repeated ones on the diagonal."""
    if own == target:
        return g
    axes = [k for k, c in enumerate(own) if c not in target or c in own[:k]]
    spread = op.Unsqueeze(g, axes)
    for k, c in enumerate(own):
        first = own.index(c)
        if first < k:
            spread = op.Mul(spread, _diagonal(op, x, (first, k), g))
    return op.Expand(spread, op.shape_of(x))


def _diagonal(op: Tape, x: ir.Value, axes: tuple[int, int], g: ir.Value) -> ir.Value:
    """Return ones where the indices along two axes agree, for broadcasting over ``x``."""
    n = rank_of(x)
    steps = op.Range(0, op.Squeeze(size_at(op, x, axes[0])), 1)
    a, b = (op.Reshape(steps, [-1 if k == axis else 1 for k in range(n)]) for axis in axes)
    return op.cast(op.Equal(a, b), g.dtype)
