"""Baselines of pictures, in standard operators; twins of those that streaming makes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.folding import noise
from onnxsal.folding.rows import Shape
from onnxsal.graph import Tape
from onnxsal.kernels.blur import gaussian_weights
from onnxsal.records import Baseline, baseline_array

KERNEL, SIGMA = 11, 5.0


@dataclass(frozen=True)
class BaselineMaker:
    """Makes the baseline of pictures x [B, C, H, W] that a record names."""

    given: Baseline
    shape: Shape
    black: NDArray[np.float32]
    """The value of a black pixel, [C]; or [C, H, W], where it is not the same everywhere."""
    key: tuple[int, int]

    def __call__(self, op: Tape, x: ir.Value) -> ir.Value:
        """Return the baseline in the shape of x. Raises: UsageError: no such name, or an array of another shape."""
        if not isinstance(self.given, str):
            return _spread(op, x, baseline_array(self.given, self.shape))
        if self.given in ("zero", "black"):
            black = self.black.reshape(*self.black.shape, *[1] * (3 - self.black.ndim))
            return _spread(op, x, black if self.given == "black" else np.zeros((), np.float32))
        if self.given == "blur":
            return blurred(op, x, self.shape[0])
        if self.given == "uniform":
            return uniform_baseline(op, x, self.shape, self.key)
        raise UsageError(f"option baseline={self.given!r}: expected zero, black, blur, uniform or an array")


def _spread(op: Tape, x: ir.Value, array: NDArray[np.float32]) -> ir.Value:
    return op.Expand(op.const(array), op.Shape(x))


def blurred(op: Tape, x: ir.Value, channels: int) -> ir.Value:
    """Return pictures [B, C, H, W] under a Gaussian, borders reflected without the edge, as ``kernels.blur`` does."""
    weights, half = gaussian_weights(KERNEL, SIGMA), KERNEL // 2
    padded = op.Pad(x, [0, 0, half, half, 0, 0, half, half], mode="reflect")
    down = op.const(np.tile(weights.reshape(1, 1, -1, 1), (channels, 1, 1, 1)))
    across = op.const(np.tile(weights.reshape(1, 1, 1, -1), (channels, 1, 1, 1)))
    return op.Conv(op.Conv(padded, down, group=channels), across, group=channels)


def uniform_baseline(op: Tape, x: ir.Value, shape: Shape, key: tuple[int, int]) -> ir.Value:
    """Return uniform noise in the range of each picture, the same numbers as streaming draws."""
    axes = [1, 2, 3]
    low = op.ReduceMin(x, axes, keepdims=1)
    span = op.Sub(op.ReduceMax(x, axes, keepdims=1), low)
    drawn = noise.uniform(op, op.const(np.zeros(1, np.int64)), int(np.prod(shape)), key)
    return op.Add(low, op.Mul(op.Reshape(drawn, [1, *shape]), span))
