"""Bytes in and bytes out: preprocessing as a table, the map as a coloured picture; in standard operators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph import Tape

INT32, INT64, FLOAT, UINT8 = ir.DataType.INT32, ir.DataType.INT64, ir.DataType.FLOAT, ir.DataType.UINT8
_GREY = (19595, 38470, 7471)
"""Pillow's weights of red, green and blue, in 65536ths; the sum stays below 2^24."""


@dataclass(frozen=True)
class Style:
    """How maps are drawn: colours by level, and how a picture fades where the map is low (``viz.overlay``)."""

    sequential: NDArray[np.float32]
    """[256, 3], for maps in [0, 1]."""
    diverging: NDArray[np.float32]
    """[256, 3], for maps in [-1, 1]."""
    luma: NDArray[np.float32]
    faded: float
    darker: float
    lifted: float
    opacity: float


def values_of_bytes(op: Tape, image: ir.Value, table: NDArray[np.float32], *, reverse: bool) -> ir.Value:
    """Return the values [B, C, H, W] of bytes [B, H, W, 3] by a table of the 256 levels of each channel, [C, 256].

    Args: reverse: blue comes first. One channel is the grey that Pillow makes.
    """
    if len(table) == 1:
        levels = _grey(op, image)
    else:
        levels = op.Cast(op.Slice(image, [-1], [-4], [3], [-1]) if reverse else image, to=INT32)
    places = op.Add(levels, op.const(np.arange(len(table), dtype=np.int32) * 256))
    return op.Transpose(op.Gather(op.const(table.reshape(-1)), places), perm=[0, 3, 1, 2])


def _grey(op: Tape, image: ir.Value) -> ir.Value:
    parts = op.Mul(op.Cast(image, to=INT32), op.const(np.array(_GREY, np.int32)))
    total = op.Add(op.ReduceSum(parts, [3], keepdims=1), op.const(np.array(1 << 15, np.int32)))
    return op.Div(total, op.const(np.array(1 << 16, np.int32)))


def coloured(op: Tape, saliency: ir.Value, image: ir.Value | None, style: Style, *, signed: bool) -> ir.Value:
    """Return maps [B, H, W] in colour, uint8 [B, H, W, 3]; over the bytes [B, H, W, 3] where they are given.

    It is what ``viz.overlay.overlay`` draws on a picture that the model saw whole.
    """
    colours = _colours(op, saliency, style, signed=signed)
    if image is None:
        return _bytes(op, colours)
    photo, strength = op.Cast(image, to=FLOAT), op.Unsqueeze(op.Abs(saliency), [3])
    faint = _greyed(op, photo, style)
    shown = op.Add(faint, op.Mul(op.Sub(photo, faint), strength))
    opacity = op.Mul(op.Pow(strength, style.lifted), style.opacity)
    return _bytes(op, op.Add(shown, op.Mul(op.Sub(colours, shown), opacity)))


def _colours(op: Tape, saliency: ir.Value, style: Style, *, signed: bool) -> ir.Value:
    if not signed:
        return _looked_up(op, _level(op, saliency), style.sequential)
    negative = op.Less(op.ReduceMin(saliency, [1, 2], keepdims=1), 0.0)
    centred = op.Mul(op.Add(saliency, 1.0), 0.5)
    level = _level(op, op.Where(negative, centred, saliency))
    both = np.concatenate([style.sequential, style.diverging])
    return _looked_up(op, op.Add(level, op.Where(negative, 256.0, 0.0)), both)


def _level(op: Tape, share: ir.Value) -> ir.Value:
    return op.Round(op.Mul(op.Clip(share, 0.0, 1.0), 255.0))


def _looked_up(op: Tape, level: ir.Value, table: NDArray[np.float32]) -> ir.Value:
    return op.Gather(op.const(table), op.Cast(level, to=INT64))


def _greyed(op: Tape, photo: ir.Value, style: Style) -> ir.Value:
    grey = op.ReduceSum(op.Mul(photo, op.const(style.luma)), [3], keepdims=1)
    return op.Mul(op.Add(photo, op.Mul(op.Sub(grey, photo), style.faded)), style.darker)


def _bytes(op: Tape, image: ir.Value) -> ir.Value:
    return op.Cast(op.Clip(op.Round(image), 0.0, 255.0), to=UINT8)
