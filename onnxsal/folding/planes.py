"""Positions of any rank as rows and columns inside a graph, as the kernels have them; twin of ``kernels.plane``."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.graph import Tape
from onnxsal.kernels.plane import plane_size

Size = tuple[int, ...]

IMAGE = 2
"""Axes of what has rows and columns already."""


def plane_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the shape [C, rows, columns] of a thing [C, *S]."""
    return (shape[0], *plane_size(shape[1:]))


def on_plane(op: Tape, value: ir.Value, size: Size) -> ir.Value:
    """Return things [B, C, *S] as [B, C, rows, columns]."""
    if len(size) == 1:
        return op.Unsqueeze(value, [2])  # which knows no length
    return value if len(size) == IMAGE else op.Reshape(value, [0, 0, *plane_size(size)])


def off_plane(op: Tape, value: ir.Value, size: Size) -> ir.Value:
    """Return things [B, C, rows, columns] as [B, C, *S]."""
    if len(size) == 1:
        return op.Squeeze(value, [2])
    return value if len(size) == IMAGE else op.Reshape(value, [0, 0, *size])


def maps_on_plane(op: Tape, maps: ir.Value, size: Size) -> ir.Value:
    """Return maps [B, *S] as [B, rows, columns]."""
    if len(size) == 1:
        return op.Unsqueeze(maps, [1])
    return maps if len(size) == IMAGE else op.Reshape(maps, [0, *plane_size(size)])


def maps_off_plane(op: Tape, maps: ir.Value, size: Size) -> ir.Value:
    """Return maps [B, rows, columns] as [B, *S]."""
    if len(size) == 1:
        return op.Squeeze(maps, [1])
    return maps if len(size) == IMAGE else op.Reshape(maps, [0, *size])
