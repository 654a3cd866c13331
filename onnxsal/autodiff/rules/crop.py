"""The region that Resize cuts out and stretches (tf_crop_and_resize), as sampling at places that move with it."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxsal.autodiff.decompose import by_parts
from onnxsal.autodiff.registry import Call, Gradient
from onnxsal.autodiff.rules.common import rank_of, size_at
from onnxsal.errors import UnsupportedError
from onnxsal.graph.tape import Tape


def region_gradient(call: Call, axes: Sequence[int]) -> Gradient:
    """Return the gradient of Resize's ``roi``, None where nothing moves with it.

    Raises: UnsupportedError: with antialias, where each tap's reach moves as well.
    """
    if call.attributes["coordinate_transformation_mode"] != "tf_crop_and_resize":
        return None
    if call.attributes["mode"] == "nearest":
        return None
    if call.attributes.get("antialias"):
        raise UnsupportedError(f"Resize {call.node.name!r}: no gradient by roi with antialias")
    return by_parts(call, lambda op, _, *inputs: _sampled(op, call, axes, inputs))[1]


def _sampled(op: Tape, call: Call, axes: Sequence[int], inputs: Sequence[ir.Value | None]) -> ir.Value:
    """x times one matrix an axis, [size after, size before]; what is read outside is a constant, here 0."""
    x, roi, scales, sizes = (*inputs, None, None)[:4]
    assert x is not None and roi is not None
    n = rank_of(x)
    named = [a % n for a in call.attributes.get("axes") or range(n)]
    given = {name: attr.value for name, attr in call.node.attributes.items()}
    made = op.Resize(x, roi, scales, sizes, **given)
    made.shape = None if call.y.shape is None else call.y.shape.copy()
    corners = op.cast(roi, x.dtype)
    for axis in axes:
        ends = [op.Gather(corners, op.const(named.index(axis) + k * len(named)), axis=0) for k in (0, 1)]
        x = _mapped(op, x, _taps(op, call, ends, (size_at(op, x, axis), size_at(op, made, axis))), axis, n)
    return x


def _mapped(op: Tape, x: ir.Value, matrix: ir.Value, axis: int, n: int) -> ir.Value:
    perm = [i for i in range(n) if i != axis] + [axis]
    last = op.MatMul(op.Transpose(x, perm=perm), op.Transpose(matrix, perm=[1, 0]))
    mapped = op.Transpose(last, perm=[perm.index(i) for i in range(n)])
    mapped.shape = ir.Shape([None] * n)
    return mapped


def _taps(op: Tape, call: Call, ends: Sequence[ir.Value], sizes: tuple[ir.Value, ir.Value]) -> ir.Value:
    kind = ends[0].dtype
    before, after = (op.Squeeze(s, [0]) for s in sizes)
    last = op.Sub(op.cast(before, kind), 1.0)
    place = _places(op, ends, last, after)
    weights = _linear if call.attributes["mode"] == "linear" else _cubic
    inside = op.And(op.GreaterOrEqual(place, 0.0), op.LessOrEqual(place, last))
    matrix = weights(op, op.gate(place, inside), before, call)
    return op.Mul(matrix, op.cast(inside, kind))


def _places(op: Tape, ends: Sequence[ir.Value], last: ir.Value, after: ir.Value) -> ir.Value:
    """Where each element is read, [size after, 1]: from start to end in even steps, in the middle if there is one."""
    start, end = ends
    steps = op.cast(op.Range(0, after, 1), start.dtype)
    share = op.Div(steps, op.cast(op.Max(op.Sub(after, 1), 1), start.dtype))
    spread = op.Add(op.Mul(op.Sub(end, start), share), start)
    lone = op.Mul(op.Add(start, end), 0.5)
    return op.Unsqueeze(op.Mul(op.Where(op.Greater(after, 1), spread, lone), last), [1])


def _linear(op: Tape, place: ir.Value, before: ir.Value, call: Call) -> ir.Value:
    cells = op.cast(op.Range(0, before, 1), place.dtype)
    return op.Max(op.Sub(1.0, op.Abs(op.Sub(place, cells))), 0.0)


def _cubic(op: Tape, place: ir.Value, before: ir.Value, call: Call) -> ir.Value:
    """Keys' kernel; cells beyond the border are its neighbours, or left out and the rest made to sum to 1."""
    cells = op.cast(op.Range(-1, op.Add(before, 1), 1), place.dtype)
    weights = _keys(op, op.Abs(op.Sub(place, cells)), float(call.attributes["cubic_coeff_a"]))
    inner = op.Slice(weights, [1], [-1], [1])
    if call.attributes["exclude_outside"]:
        return op.Div(inner, op.ReduceSum(inner, [1], keepdims=1))
    numbers = op.Range(0, before, 1)
    borders = ((0, 1, op.const(0, ir.DataType.INT64)), (-1, 2**31, op.Sub(before, 1)))
    for start, end, cell in borders:
        here = op.cast(op.Equal(numbers, cell), place.dtype)
        inner = op.Add(inner, op.Mul(op.Slice(weights, [start], [end], [1]), here))
    return inner


def _keys(op: Tape, d: ir.Value, a: float) -> ir.Value:
    near = op.Add(op.Mul(op.Mul(d, d), op.Sub(op.Mul(d, a + 2), a + 3)), 1.0)
    far = op.Sub(op.Mul(op.Add(op.Mul(op.Sub(op.Mul(d, a), 5 * a), d), 8 * a), d), 4 * a)
    return op.Where(op.Less(d, 1.0), near, op.Where(op.Less(d, 2.0), far, 0.0))
