"""Rules of Fourier transforms, products along an axis, determinants, folding: linear or nearly so."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.decompose import made_of
from onnxsal.autodiff.registry import Call, Gradient, defvjp, vjp
from onnxsal.autodiff.rules.common import pad, rank_of
from onnxsal.errors import UnsupportedError
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape


@vjp("DFT", slots=(True, False, False))
def _dft(call: Call) -> list[Gradient]:
    """The adjoint of a transform over n points is n times its inverse, that of an inverse a transform over n."""
    op, g, (x, length, axis) = call.op, call.g, [*call.node.inputs, None, None][:3]
    assert x is not None
    along = op.Reshape(op.const([-2], ir.DataType.INT64) if axis is None else axis, [1])
    inverse, onesided = call.attributes["inverse"], call.attributes["onesided"]
    points = op.Reshape(length, [1]) if length is not None else _length(op, x if not inverse else call.y, along)
    axis, n = op.Squeeze(along), op.cast(points, g.dtype)
    if inverse and onesided:
        back = op.Mul(op.DFT(g, None, axis, onesided=1), _mirrored(op, points, along, rank_of(x), g.dtype))
    else:
        back = op.DFT(g, op.Squeeze(points) if onesided else None, axis, inverse=1 - inverse)
        back = op.Div(back, n) if inverse else op.Mul(back, n)
    if length is not None:
        back = _fitted(op, back, _length(op, x, along), along)
    return [_real_part(op, back, x)]


def _length(op: Tape, x: ir.Value, along: ir.Value) -> ir.Value:
    return op.Gather(op.Shape(x), along)


def _mirrored(op: Tape, points: ir.Value, along: ir.Value, n: int, dtype: ir.DataType | None) -> ir.Value:
    """A onesided inverse counts every bin twice but the first and, of an even number, the one in the middle."""
    bins = op.Range(0, op.Squeeze(op.Add(op.Div(points, 2), 1)), 1)
    once = op.Or(op.Equal(bins, 0), op.Equal(op.Mul(bins, 2), points))
    weights = op.Div(op.Where(once, op.const(1, dtype), op.const(2, dtype)), op.cast(points, dtype))
    axes = op.const(list(range(n)), ir.DataType.INT64)
    place = op.Or(op.Equal(axes, along), op.Equal(axes, op.Add(along, n)))
    return op.Reshape(weights, op.Where(place, op.const(-1), op.const(1)))


def _fitted(op: Tape, g: ir.Value, size: ir.Value, along: ir.Value) -> ir.Value:
    """What the transform padded is cut away, what it cut away is 0."""
    missing = op.Max(op.Sub(size, _length(op, g, along)), 0)
    return op.Pad(op.Slice(g, [0], size, along), op.Concat([0], missing, axis=0), None, along)


def _real_part(op: Tape, z: ir.Value, x: ir.Value) -> ir.Value:
    shape = dims(x) or ()
    return op.Slice(z, [0], [1], [rank_of(x) - 1]) if shape[-1] == 1 else z


def _size(x: ir.Value, axis: int, node: ir.Node) -> int:
    shape = dims(x)
    size = None if shape is None else shape[axis]
    if not isinstance(size, int):
        raise UnsupportedError(
            f"{node.op_type} {node.name!r}: the gradient needs the size of axis {axis}, known only at run time"
        )
    return size


def _stft(
    op: Tape, call: Call, signal: ir.Value, step: ir.Value, window: ir.Value | None = None,
    length: ir.Value | None = None,
) -> ir.Value:  # fmt: skip
    """Frames, gathered and weighted, then transformed."""
    frame = op.Size(window) if length is None else op.Reshape(length, [])
    hop = op.Reshape(step, [])
    samples = op.Squeeze(op.Shape(signal, start=1, end=2))
    count = op.Add(op.Div(op.Sub(samples, frame), hop), 1)
    starts = op.Unsqueeze(op.Mul(op.Range(0, count, 1), hop), [1])
    places = op.Add(starts, op.Unsqueeze(op.Range(0, frame, 1), [0]))
    frames = op.Gather(signal, places, axis=1)
    weighted = frames if window is None else op.Mul(frames, op.Unsqueeze(window, [1]))
    return op.DFT(weighted, None, op.const(2, ir.DataType.INT64), onesided=call.attributes["onesided"])


made_of("STFT", _stft, slots=(True, False, True, False))


def _cumulative_product(
    op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, axis: ir.Value, *, exclusive: int, reverse: int
) -> ir.Value:
    """sum of g y from here on, over x. Of several zeros only the first has a slope: there x counts as 1."""

    def since(v: ir.Value) -> ir.Value:
        return op.CumSum(v, axis, exclusive=exclusive, reverse=1 - reverse)

    zero = op.Equal(x, 0.0)
    passed = op.CumSum(op.cast(zero, x.dtype), axis, reverse=reverse)
    first = op.And(zero, op.Equal(passed, 1.0))
    there = since(op.Mul(g, op.CumProd(op.Where(first, 1.0, x), axis, exclusive=exclusive, reverse=reverse)))
    return op.Where(first, there, op.Div(since(op.Mul(g, y)), op.Where(zero, 1.0, x)))


defvjp("CumProd", _cumulative_product, None)


def _det(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value) -> ir.Value:
    """The cofactors: determinants of what is left without one row and one column, signs in turn."""
    n, r = _size(x, -1, y.producer() or ir.Node("", "Det", [])), rank_of(x)
    outer = op.Unsqueeze(g, [-2, -1])
    if n == 1:
        return outer
    rest = np.array([[j for j in range(n) if j != i] for i in range(n)], np.int64)
    rows = op.Gather(x, rest, axis=r - 2)  # [.., i, n - 1, n]
    minors = op.Transpose(op.Gather(rows, rest, axis=r), perm=[*range(r - 1), r, r - 1, r + 1])
    signs = (-1.0) ** np.add.outer(np.arange(n), np.arange(n))
    return op.Mul(outer, op.Mul(op.Det(minors), op.const(signs, x.dtype)))


defvjp("Det", _det)


@vjp("Col2Im", slots=(True, False, False))
def _col2im(call: Call) -> list[Gradient]:
    """The blocks of the gradient's picture, each as one column again."""
    op, g, (x, image, block) = call.op, call.g, call.node.inputs
    assert x is not None
    n = rank_of(call.y) - 2
    pads = list(call.attributes.get("pads") or [0] * 2 * n)
    strides, dilations = (list(call.attributes.get(k) or [1] * n) for k in ("strides", "dilations"))
    g = pad(op, g, pads, list(range(2, n + 2)), n + 2)
    for d in reversed(range(n)):
        size, kernel = (op.Gather(v, op.const(d)) for v in (image, block))
        last = op.Sub(op.Add(size, pads[d] + pads[d + n] - 1), op.Mul(op.Sub(kernel, 1), dilations[d]))
        starts = op.Range(0, op.Add(last, 1), strides[d])
        taps = op.Mul(op.Range(0, kernel, 1), dilations[d])
        g = op.Gather(g, op.Add(op.Unsqueeze(taps, [1]), op.Unsqueeze(starts, [0])), axis=d + 2)
    order = [0, 1, *range(2, 2 + 2 * n, 2), *range(3, 3 + 2 * n, 2)]
    return [op.reshape_like(op.Transpose(g, perm=order), x)]


@vjp("AffineGrid", slots=(True, False))
def _affine_grid(call: Call) -> list[Gradient]:
    """grid = theta (position, 1); the grid of the identity holds the positions."""
    op, g, (theta, size) = call.op, call.g, call.node.inputs
    assert theta is not None
    n = rank_of(g) - 2 if g.shape is not None else rank_of(call.y) - 2
    eye = op.const(np.eye(n, n + 1)[None], theta.dtype)
    one = op.Concat([1], op.Slice(size, [1], [2**31], [0]), axis=0)
    grid = op.Reshape(op.AffineGrid(eye, one, align_corners=call.attributes["align_corners"]), [-1, n])
    positions = pad(op, op.Sub(grid, 1.0), [0, 1], [1], 2)
    flat = op.Reshape(g, [0, -1, n])
    return [op.MatMul(op.Transpose(flat, perm=[0, 2, 1]), op.Add(positions, 1.0))]
