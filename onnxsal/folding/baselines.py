"""Baselines that depend on the picture, in standard operators."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.folding import noise
from onnxsal.graph import Tape

KERNEL, SIGMA = 11, 5.0
"""As the blurred baseline of streaming has them."""


def blurred(op: Tape, x: ir.Value, channels: int) -> ir.Value:
    """Return pictures [B, C, H, W] under a Gaussian, borders reflected without the edge, as ``kernels.blur`` does."""
    offsets = np.arange(KERNEL) - KERNEL // 2
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    half = KERNEL // 2
    padded = op.Pad(x, [0, 0, half, half, 0, 0, half, half], mode="reflect")
    down = op.const(np.tile(weights.reshape(1, 1, -1, 1), (channels, 1, 1, 1)))
    across = op.const(np.tile(weights.reshape(1, 1, 1, -1), (channels, 1, 1, 1)))
    return op.Conv(op.Conv(padded, down, group=channels), across, group=channels)  # type: ignore[no-any-return]


def uniform_baseline(op: Tape, x: ir.Value, size: tuple[int, int], key: tuple[int, int]) -> ir.Value:
    """Return uniform noise in the range of each picture, the same numbers as streaming draws."""
    axes = [1, 2, 3]
    low = op.ReduceMin(x, axes, keepdims=1)
    span = op.Sub(op.ReduceMax(x, axes, keepdims=1), low)
    shape = [d if isinstance(d, int) else 0 for d in x.shape or ()]
    count = shape[1] * size[0] * size[1]
    share = op.Reshape(noise.uniform(op, op.const(np.zeros(1, np.int64)), count, key), [1, shape[1], *size])
    return op.Add(low, op.Mul(share, span))  # type: ignore[no-any-return]
