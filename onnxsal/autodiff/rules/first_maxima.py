"""The gradient of a maximum over windows that overlap, in comparisons: without where the maxima were found.

A window's maximum is that of its rows' maxima, so every axis is a step of its own: k comparisons for a kernel of k, not
k for each of the rows. MaxPool's second output and a sum by ScatterElements would do as well, and have faults elsewhere
(docs/runtimes.md); in ONNX Runtime this takes no longer (docs/speed.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.rules.windows import Window, all_known, spatial
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

Back = Callable[[ir.Value], ir.Value]
"""Puts the gradient of maxima back."""

MOST = 32
"""Comparisons that are written, over all axes: beyond, the graph would grow long."""


@dataclass(frozen=True)
class _Axis:
    """Windows along one axis: ``count`` of ``taps`` elements each, over ``size`` with ``begin`` before it."""

    at: int
    size: int
    count: int
    taps: int
    stride: int
    dilation: int
    begin: int

    @property
    def length(self) -> int:
        """How far the windows reach."""
        return (self.count - 1) * self.stride + (self.taps - 1) * self.dilation + 1


def axes_of(window: Window, x: ir.Value, y: ir.Value) -> list[_Axis] | None:
    """Return the axes of a window from the last one on; None where this form is not for it."""
    sizes, counts = spatial(x), spatial(y)
    if x.dtype != ir.DataType.FLOAT or sum(window.kernel) > MOST or not (all_known(sizes) and all_known(counts)):
        return None
    found = list[_Axis]()
    for k, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        assert isinstance(size, int) and isinstance(count, int)
        axis = _Axis(k + 2, size, count, window.kernel[k], window.strides[k], window.dilations[k], window.begin[k])
        if window.same:
            total = max(axis.length - size, 0)
            axis = replace(axis, begin=total // 2 if window.same == "SAME_UPPER" else -(-total // 2))
        found.append(axis)
    return None if 0 in (*sizes, *counts) else found[::-1]


def first_maxima(op: Tape, x: ir.Value, axes: list[_Axis]) -> Back:
    """Return what puts a gradient of the maxima of ``x`` back: each to the first, row by row, of its window."""
    steps, largest = list[Back](), x
    for axis in axes:
        if (axis.taps, axis.stride, axis.begin, axis.length) != (1, 1, 0, axis.size):
            sizes = [each.count if each.at > axis.at else each.size for each in axes[::-1]]
            largest, step = _along(op, largest, axis, sizes, _shape(op, x, sizes))
            steps.append(step)

    def back(g: ir.Value) -> ir.Value:
        for step in reversed(steps):
            g = step(g)
        return g

    return back


def _shape(op: Tape, x: ir.Value, sizes: list[int]) -> ir.Value | list[int]:
    """Return the shape of things and channels of ``x`` with other sizes."""
    things, channels, *_ = dims(x) or (None, None)
    if isinstance(channels, int) and channels:
        return [things if isinstance(things, int) else -1, channels, *sizes]
    return op.Concat(op.Shape(x, end=2), op.const(sizes, ir.DataType.INT64), axis=0)


def _along(op: Tape, x: ir.Value, axis: _Axis, sizes: list[int], shape: ir.Value | list[int]) -> tuple[ir.Value, Back]:
    """Return the maxima along one axis, and what puts a gradient of them back.

    Args:
        sizes: what x has of all axes.
        shape: with things and channels before them.
    """
    end = max(axis.length - axis.size - axis.begin, 0)
    wide = _padded(op, x, axis.at, len(sizes) + 2, axis.begin, end, float(np.finfo(np.float32).min))
    parts = [
        op.Slice(wide, [start], [start + (axis.count - 1) * axis.stride + 1], [axis.at], [axis.stride])
        for start in range(0, axis.taps * axis.dilation, axis.dilation)
    ]
    largest = op.Max(*parts)
    masks = [op.Cast(op.Equal(each, largest), to=ir.DataType.FLOAT) for each in parts[:-1]]

    def back(g: ir.Value) -> ir.Value:
        shares = list[ir.Value]()
        for mask in masks:
            shares.append(op.Mul(g, mask))
            g = op.Sub(g, shares[-1])
        return op.Reshape(_placed(op, [*shares, g], axis, sizes), shape)

    return largest, back


def _placed(op: Tape, shares: list[ir.Value], axis: _Axis, sizes: list[int]) -> ir.Value:
    """Return the sum of what every element of an axis gets, each share by a kernel of its own: of planes, whatever
    number of axes there are."""
    last = axis.at == len(sizes) + 1
    plane = [math.prod(sizes[:-1]), axis.count] if last else [axis.count, math.prod(sizes[axis.at - 1 :])]
    stacked = op.Concat(*(op.Reshape(each, [-1, 1, *plane]) for each in shares), axis=1)
    kernels = np.eye(axis.taps, dtype=np.float32).reshape(axis.taps, 1, *((1, -1) if last else (-1, 1)))
    strides, dilations = ([1, n] if last else [n, 1] for n in (axis.stride, axis.dilation))
    sums, at = op.ConvTranspose(stacked, kernels, strides=strides, dilations=dilations), 3 if last else 2
    roomy = _padded(op, sums, at, 4, 0, max(axis.begin + axis.size - axis.length, 0), 0.0)
    if (axis.begin, axis.length) == (0, axis.size):
        return roomy
    return op.Slice(roomy, [axis.begin], [axis.begin + axis.size], [at])


def _padded(op: Tape, x: ir.Value, at: int, rank: int, begin: int, end: int, value: float) -> ir.Value:
    """Return ``x`` with more of one axis."""
    if not begin and not end:
        return x
    pads = [0] * (2 * rank)
    pads[at], pads[rank + at] = begin, end
    return op.Pad(x, pads, value)
