"""Seg-XRes-CAM: a class activation map that keeps the place of a region, up to a window."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Layer
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Program, dims
from onnxsal.graph.program import Trace
from onnxsal.methods.parts import combine, trace_with_gradient
from onnxsal.methods.registry import Range, method

_MOST = 3
"""Axes over which ONNX Runtime pools."""


@method(
    "seg-xres-cam",
    paper="Hasany, Petitjean & Meriaudeau 2023, CVPR workshop XAI4CV, pp. 3733-3738",
    when="regions: between grad-cam, which loses their place, and hirescam, which may be too fine",
)
def seg_xres_cam(
    score: Program, layer: Layer, *, window: Annotated[int, Range(1)] = 4, pool: Literal["max", "mean"] = "max"
) -> Program:
    """ReLU of the sum over channels of window-pooled gradient times activation; [B, h, w], >= 0.

    Args: window: positions along each side of a window; 1 is ``hirescam``, and one over the whole layer with the mean
    is ``grad-cam``. pool: what stands for a window's gradients.
    Source: windows do not overlap, and the last ones may be smaller: they pool what they have. The
    pooled gradient is brought back to the layer's size bilinearly, half-pixel centres.
    """
    op, a, g = trace_with_gradient(score, layer)
    size = _size(a)  # of gradients that several branches add to nothing tells it
    return op.finish(saliency=combine(op, _spread(op, _pooled(op, g, size, window, pool), size, window), a))


def _pooled(op: Trace, g: ir.Value, size: tuple[int, ...], window: int, pool: str) -> ir.Value:
    """Return one number a window and channel, [B, K, rows, columns]."""
    sides = [min(window, side) for side in size]
    how = {"kernel_shape": sides, "strides": sides, "ceil_mode": 1}
    return op.MaxPool(g, **how) if pool == "max" else op.AveragePool(g, count_include_pad=0, **how)


def _spread(op: Trace, pooled: ir.Value, size: tuple[int, ...], window: int) -> ir.Value:
    """Return the windows' numbers on the layer's positions, by a matrix an axis: linear between their middles."""
    axes = list(range(2 + len(size)))
    for axis, side in enumerate(size[:-2], 2):
        swapped = [axes[-1] if i == axis else axis if i == axes[-1] else i for i in axes]
        along = op.MatMul(op.Transpose(pooled, perm=swapped), op.const(_taps(side, window).T))
        pooled = op.Transpose(along, perm=swapped)
    if len(size) > 1:
        pooled = op.MatMul(op.const(_taps(size[-2], window)), pooled)
    return op.MatMul(pooled, op.const(_taps(size[-1], window).T))


def _size(value: ir.Value) -> tuple[int, ...]:
    found = (dims(value) or ())[2:]
    size = tuple(side for side in found if isinstance(side, int))
    if not size or len(size) < len(found) or len(size) > _MOST:
        raise UnsupportedError(f"seg-xres-cam needs a layer of known height and width; it is {dims(value)}")
    return size


def _taps(size: int, window: int) -> NDArray[np.float32]:
    """Weights [size, windows] of a linear interpolation between the middles of windows."""
    starts = np.arange(0, size, window)
    middles = (starts + np.minimum(starts + window, size)) / 2
    each = [np.interp(np.arange(size) + 0.5, middles, row) for row in np.eye(len(middles))]
    return np.stack(each, axis=1).astype(np.float32)
