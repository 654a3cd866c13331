"""The gradient of a convolution's weight: the correlation of x with g, written as what runs fastest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import onnx_ir as ir

from onnxsal.autodiff.rules.common import fit, widened
from onnxsal.autodiff.rules.windows import Window, all_known, spatial, spatial_of
from onnxsal.graph.tape import Tape

TAPS = 25
"""Kernels of more positions are correlated by Conv: a copy of x for each would cost more than its product saves."""


def weight_gradient(op: Tape, x: ir.Value, g: ir.Value, window: Window, group: int) -> ir.Value:
    """Return the gradient of a weight [M, C/group, k]: the correlation of x [B, C, ...] with g [B, M, ...].

    Conv takes a kernel of g's size for an output of w's, which leaves its inner product a few columns wide. Measured
    (docs/speed.md), a product of matrices for every position of the kernel takes 0.1-0.3 of its time for 1 x 1 and
    0.5-0.8 for 3 x 3 and 5 x 5; not so with strides, where the copies of x are what takes long.
    """
    images, kernels = widened(op, x), widened(op, g)
    if group == 1 and _few(window):
        return op.cast(by_products(op, images, kernels, window), g.dtype)
    return op.cast(by_convolution(op, images, kernels, window, group), g.dtype)


def _few(window: Window) -> bool:
    return math.prod(window.kernel) == 1 or (math.prod(window.kernel) <= TAPS and set(window.strides) == {1})


def by_products(op: Tape, x: ir.Value, g: ir.Value, window: Window) -> ir.Value:
    """Return [M, C, k] from one product [M, B ...] x [B ..., C] for every position of the kernel; of one group."""
    swap = _swapped(window)
    left = op.Reshape(op.Transpose(g, perm=swap), [0, -1])
    images = fit(op, op.Transpose(x, perm=swap), list(window.begin), list(window.end), swap[2:], len(swap))
    rows = (op.Reshape(tap, [0, -1]) for tap in _taps(op, images, g, window))
    products = [op.Unsqueeze(op.MatMul(left, op.Transpose(row, perm=[1, 0])), [0]) for row in rows]
    return op.Reshape(op.Transpose(op.Concat(*products, axis=0), perm=[1, 2, 0]), [0, 0, *window.kernel])


def _taps(op: Tape, x: ir.Value, g: ir.Value, window: Window) -> Iterator[ir.Value]:
    """Yield what of the padded x every position of the kernel sees, of g's spatial shape."""
    axes = [i + 2 for i in range(window.n)]
    if set(window.kernel) | set(window.strides) == {1}:
        yield x
        return
    for position in itertools.product(*map(range, window.kernel)):
        start = [i * d for i, d in zip(position, window.dilations, strict=True)]
        yield op.Slice(x, start, _stops(op, start, g, window), axes, list(window.strides))


def _stops(op: Tape, start: list[int], g: ir.Value, window: Window) -> list[int] | ir.Value:
    sizes = spatial(g)
    if all_known(sizes):
        steps = zip(start, sizes, window.strides, strict=True)
        return [i + (n - 1) * stride + 1 for i, n, stride in steps if isinstance(n, int)]
    reach = op.Mul(op.Sub(spatial_of(op, g), 1), op.const(list(window.strides), ir.DataType.INT64))
    return op.Add(reach, op.const([i + 1 for i in start], ir.DataType.INT64))


def by_convolution(op: Tape, x: ir.Value, g: ir.Value, window: Window, group: int) -> ir.Value:
    """Batch and channels change places, so that Conv makes the sum over the batch; strides and dilations do too."""
    swap = _swapped(window)
    images = _channels_first(op, x, window.n, group)
    pads, extra = nonnegative(op, images, window)
    product = op.Conv(
        extra, op.Transpose(g, perm=swap), group=group, pads=pads, strides=list(window.dilations),
        dilations=list(window.strides),
    )  # fmt: skip
    cut = op.Slice(product, [0] * window.n, list(window.kernel), swap[2:])
    return op.Transpose(cut, perm=swap)


def _swapped(window: Window) -> list[int]:
    return [1, 0, *range(2, window.n + 2)]


def nonnegative(op: Tape, x: ir.Value, window: Window) -> tuple[list[int], ir.Value]:
    """Return pads of Conv, and x: negative ones (a ConvTranspose larger than its windows) are cut off first."""
    if min(window.pads, default=0) >= 0:
        return window.pads, x
    lows, highs = ([min(p, 0) for p in pads] for pads in (window.begin, window.end))
    cut = fit(op, x, lows, highs, list(range(2, window.n + 2)), window.n + 2)
    return [max(p, 0) for p in window.pads], cut


def _channels_first(op: Tape, x: ir.Value, n: int, group: int) -> ir.Value:
    """Return x [B, C, ...] as [C/group, group B, ...]: the images that a grouped convolution sums over the batch."""
    if group == 1:
        return op.Transpose(x, perm=[1, 0, *range(2, n + 2)])
    shape = op.shape_of(x)
    batch, sizes = op.Slice(shape, [0], [1]), op.Slice(shape, [2], [n + 2])
    each = op.Div(op.Slice(shape, [1], [2]), group)
    split = op.Reshape(x, op.Concat(batch, [group], each, sizes, axis=0), allowzero=1)
    moved = op.Transpose(split, perm=[2, 1, 0, *range(3, n + 3)])
    return op.Reshape(moved, op.Concat(each, op.Mul(batch, group), sizes, axis=0), allowzero=1)
