"""Pooling of regions: RoiAlign by the taps of its samples, MaxRoiPool by a maximum along each axis."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.decompose import made_of
from onnxsal.autodiff.registry import Call
from onnxsal.autodiff.rules.common import merged, size_at
from onnxsal.autodiff.rules.sampling import linear_taps, read_taps
from onnxsal.errors import UnsupportedError
from onnxsal.graph.tape import Tape


def _roi_align(op: Tape, call: Call, x: ir.Value, rois: ir.Value, images: ir.Value) -> ir.Value:
    a = call.attributes
    ratio, mode = a["sampling_ratio"], a["mode"]
    if ratio <= 0 or mode != "avg":
        what = f"mode {mode!r}" if mode != "avg" else "a sampling_ratio of 0, where each region has its own grid"
        raise UnsupportedError(f"RoiAlign {call.node.name!r}: no gradient with {what}")
    out = (a["output_height"], a["output_width"])
    sizes = [op.cast(op.Squeeze(size_at(op, x, d)), x.dtype) for d in (2, 3)]
    places = [_samples(op, call, rois, d, out[d] * ratio) for d in (0, 1)]
    full = op.Concat(op.Shape(rois, start=0, end=1), [out[0] * ratio, out[1] * ratio], axis=0)
    spread = [op.Expand(op.Unsqueeze(p, [2 - d]), full) for d, p in enumerate(places)]
    flat = [merged(op, p, 1) for p in spread]
    taps = [linear_taps(op, op.Min(op.Max(p, 0.0), op.Sub(s, 1.0))) for p, s in zip(flat, sizes, strict=True)]
    values = read_taps(op, op.Gather(x, images, axis=0), taps, sizes)
    inside = [op.And(op.GreaterOrEqual(p, -1.0), op.LessOrEqual(p, s)) for p, s in zip(flat, sizes, strict=True)]
    kept = op.Mul(values, op.Unsqueeze(op.cast(op.And(*inside), x.dtype), [1]))
    grid = op.Reshape(kept, [0, 0, out[0], ratio, out[1], ratio])
    return op.ReduceMean(grid, [3, 5], keepdims=0)


def _samples(op: Tape, call: Call, rois: ir.Value, d: int, count: int) -> ir.Value:
    """Where a region is sampled along one axis, evenly: [regions, count]; rois are x1, y1, x2, y2."""
    half = call.attributes["coordinate_transformation_mode"] == "half_pixel"
    start, end = (op.Mul(op.Slice(rois, [k], [k + 1], [1]), call.attributes["spatial_scale"]) for k in (1 - d, 3 - d))
    extent = op.Sub(end, start) if half else op.Max(op.Sub(end, start), 1.0)
    steps = op.const((np.arange(count) + 0.5) / count, rois.dtype)
    return op.Sub(op.Add(start, op.Mul(extent, steps)), 0.5 if half else 0.0)


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
