"""Pooling of regions: RoiAlign by the taps of its samples, MaxRoiPool by a maximum along each axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.decompose import made_of
from onnxsal.autodiff.registry import Call
from onnxsal.autodiff.rules.common import size_at
from onnxsal.autodiff.rules.sampling import linear_taps
from onnxsal.errors import UnsupportedError
from onnxsal.graph.tape import Tape


@dataclass(frozen=True)
class _Samples:
    """Where regions are sampled along one axis, [regions, bins, samples], and each sample's share of its bin."""

    places: ir.Value
    shares: ir.Value

    def taps(self, op: Tape, size: ir.Value) -> list[tuple[ir.Value, ir.Value]]:
        """Return the two cells that each sample reads, with what they count in its bin; farther outside is nothing."""
        inside = op.And(op.GreaterOrEqual(self.places, -1.0), op.LessOrEqual(self.places, size))
        share, last = op.Where(inside, self.shares, 0.0), op.Sub(size, 1.0)
        found = linear_taps(op, op.Min(op.Max(self.places, 0.0), last))
        return [(op.Cast(op.Min(at, last), to=ir.DataType.INT64), op.Mul(share, weight)) for at, weight in found]


def _roi_align(op: Tape, call: Call, x: ir.Value, rois: ir.Value, images: ir.Value) -> ir.Value:
    """The sum of four taps a sample, read off the cells of all pictures in a row: the maps are not copied a region."""
    if call.attributes["mode"] != "avg":
        raise UnsupportedError(f"RoiAlign {call.node.name!r}: no gradient with mode {call.attributes['mode']!r}")
    bins = (call.attributes["output_height"], call.attributes["output_width"])
    sizes = [size_at(op, x, d) for d in (2, 3)]
    down, across = (_samples(op, call, rois, d, bins[d]).taps(op, op.cast(op.Squeeze(sizes[d]), rois.dtype))
                    for d in (0, 1))  # fmt: skip
    cells = op.Reshape(op.Transpose(x, perm=[0, 2, 3, 1]), op.Concat([-1], size_at(op, x, 1), axis=0))
    above = op.Mul(op.Unsqueeze(images, [1, 2]), sizes[0])  # rows of the pictures before
    starts = [(op.Unsqueeze(op.Mul(op.Add(row, above), sizes[1]), [3, 4]), op.Unsqueeze(weight, [3, 4, 5]))
              for row, weight in down]  # fmt: skip
    columns = [(op.Unsqueeze(column, [1, 2]), op.Unsqueeze(weight, [1, 2, 5])) for column, weight in across]
    read = [op.Mul(op.Gather(cells, op.Add(start, column), axis=0), op.cast(op.Mul(high, wide), x.dtype))
            for start, high in starts for column, wide in columns]  # fmt: skip
    return op.Transpose(op.ReduceSum(op.total(read), [2, 4], keepdims=0), perm=[0, 3, 1, 2])


def _samples(op: Tape, call: Call, rois: ir.Value, d: int, bins: int) -> _Samples:
    """Sample a region evenly along one axis; rois are x1, y1, x2, y2.

    With a sampling_ratio of 0 a region has as many samples a bin as the bin has cells, rounded up; the others stand
    beside them with a share of 0, up to the count of the largest region.
    """
    half, ratio = call.attributes["coordinate_transformation_mode"] == "half_pixel", call.attributes["sampling_ratio"]
    start, end = (op.Mul(op.Slice(rois, [k], [k + 1], [1]), call.attributes["spatial_scale"]) for k in (1 - d, 3 - d))
    extent = op.Sub(end, start) if half else op.Max(op.Sub(end, start), 1.0)
    step, offset = op.Div(extent, float(bins)), 0.5 if half else 0.0  # [regions, 1]
    asked = op.Ceil(step) if ratio <= 0 else op.const([[float(ratio)]], rois.dtype)
    own = op.Max(asked, 1.0)
    most = op.const([ratio], ir.DataType.INT64) if ratio > 0 else _largest(op, own)
    numbers = op.cast(op.Range(0, op.Squeeze(most), 1), rois.dtype)  # [count]
    within = op.Div(op.Add(numbers, 0.5), own)  # [regions or 1, count]
    every = op.Add(op.Unsqueeze(within, [1]), op.const(np.arange(bins)[None, :, None], rois.dtype))
    places = op.Add(op.Sub(op.Unsqueeze(start, [2]), offset), op.Mul(op.Unsqueeze(step, [2]), every))
    share = op.Where(op.Less(numbers, asked), op.Div(1.0, own), 0.0)
    return _Samples(places, op.Unsqueeze(share, [1]))


def _largest(op: Tape, own: ir.Value) -> ir.Value:
    """Return the largest count as an int64 vector of one, 1 where there is no region."""
    counts = op.Concat(op.Reshape(op.Cast(own, to=ir.DataType.INT64), [-1]), [1], axis=0)
    return op.ReduceMax(counts, keepdims=1)


made_of("RoiAlign", _roi_align, slots=(True, True, False))


def _max_roi_pool(op: Tape, call: Call, x: ir.Value, rois: ir.Value) -> ir.Value:
    """The maximum over each bin, first along its columns and then its rows; bins without a cell are 0."""
    images = op.Cast(op.Squeeze(op.Slice(rois, [0], [1], [1]), [1]), to=ir.DataType.INT64)
    rows, columns = (_bins(op, call, rois, x, d) for d in (0, 1))  # [regions, bins, cells]
    lowest = float(np.finfo(np.float32).min)
    picked = op.Unsqueeze(op.Gather(x, images, axis=0), [3])
    wide = op.ReduceMax(op.Where(op.Unsqueeze(columns, [1, 2]), picked, lowest), [4], keepdims=0)  # [N, C, H, bins]
    tall = op.Where(op.Unsqueeze(rows, [1, 4]), op.Unsqueeze(wide, [2]), lowest)
    most = op.ReduceMax(tall, [3], keepdims=0)
    return op.Where(op.Greater(most, lowest), most, 0.0)


def _bins(op: Tape, call: Call, rois: ir.Value, x: ir.Value, d: int) -> ir.Value:
    """Which cells of an axis each bin has; corners are rounded, half of a cell away from zero."""
    bins, scale = call.attributes["pooled_shape"][d], call.attributes["spatial_scale"]
    ends = [op.Mul(op.Slice(rois, [k], [k + 1], [1]), scale) for k in (2 - d, 4 - d)]
    start, end = (op.Mul(op.Sign(v), op.Floor(op.Add(op.Abs(v), 0.5))) for v in ends)
    step = op.Div(op.Max(op.Add(op.Sub(end, start), 1.0), 1.0), float(bins))
    numbers = op.const(np.arange(bins, dtype=np.float32))
    low = op.Unsqueeze(op.Add(op.Floor(op.Mul(step, numbers)), start), [2])
    high = op.Unsqueeze(op.Add(op.Ceil(op.Mul(step, op.Add(numbers, 1.0))), start), [2])
    cells = op.cast(op.Range(0, op.Squeeze(size_at(op, x, d + 2)), 1), rois.dtype)
    return op.And(op.GreaterOrEqual(cells, low), op.Less(cells, high))


made_of("MaxRoiPool", _max_roi_pool, slots=(True, False))
