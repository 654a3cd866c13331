"""From the raw map to the saliency that ``Explanation`` has, in standard operators."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from onnxsal.graph import Tape

Output = Literal["saliency", "raw"]


@dataclass(frozen=True)
class Finish:
    """How a raw map becomes the saliency: at which size, with which sign (None for maps of a layer), capped where."""

    size: tuple[int, int]
    channels: int
    sign: str | None
    percentile: float = 99.0


def finish_map(op: Tape, raw: ir.Value, how: Finish) -> ir.Value:
    """Return the saliency [B, H, W] of a raw map: [B, h, w] of a layer, or [B, C, H, W] of the picture."""
    return _of_layer(op, raw, how) if how.sign is None else _of_pixels(op, raw, how)


def _of_layer(op: Tape, raw: ir.Value, how: Finish) -> ir.Value:
    """Bilinear with half-pixel centres to the input's size, then min-max; a flat map becomes 0."""
    maps = op.Unsqueeze(raw, [1])
    sizes = op.Concat(op.Shape(maps, start=0, end=2), list(how.size), axis=0)
    large = op.Squeeze(
        op.Resize(maps, None, None, sizes, mode="linear", coordinate_transformation_mode="half_pixel"), [1]
    )
    low = op.ReduceMin(large, [1, 2], keepdims=1)
    span = op.Sub(op.ReduceMax(large, [1, 2], keepdims=1), low)
    return _divide(op, op.Sub(large, low), span)


def _of_pixels(op: Tape, raw: ir.Value, how: Finish) -> ir.Value:
    if how.sign == "absolute":
        flat = op.ReduceMax(op.Abs(raw), [1], keepdims=0)
    else:
        flat = op.ReduceSum(raw, [1], keepdims=0)
        flat = {"positive": op.Relu, "negative": lambda v: op.Relu(op.Neg(v)), "signed": lambda v: v}[str(how.sign)](
            flat
        )
    cap = _percentile(op, op.Abs(flat), how)
    return op.Clip(_divide(op, flat, cap), -1.0 if how.sign == "signed" else 0.0, 1.0)  # type: ignore[no-any-return]


def _percentile(op: Tape, values: ir.Value, how: Finish) -> ir.Value:
    """The percentile of each map, [B, 1, 1], interpolated between the two neighbours as numpy does."""
    count = how.size[0] * how.size[1]
    position = (count - 1) * how.percentile / 100
    below = math.floor(position)
    share = position - below
    top, _ = op.TopK(op.Reshape(values, [0, count]), [count - below], axis=1, outputs=2)
    low = op.Slice(top, [count - below - 1], [count - below], [1])
    if share:
        high = op.Slice(top, [count - below - 2], [count - below - 1], [1])
        low = op.Add(op.Mul(low, 1 - share), op.Mul(high, share))
    return op.Unsqueeze(low, [2])  # type: ignore[no-any-return]


def _divide(op: Tape, a: ir.Value, b: ir.Value) -> ir.Value:
    flat = op.Equal(b, 0.0)
    return op.Where(flat, 0.0, op.Div(a, op.Where(flat, 1.0, b)))  # type: ignore[no-any-return]
