"""Baselines of pictures, in standard operators; twins of those that streaming makes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.folding import noise
from onnxsal.folding.planes import plane_shape
from onnxsal.folding.rows import Shape
from onnxsal.graph import Tape
from onnxsal.kernels.blur import gaussian_weights
from onnxsal.records import Baseline, baseline_array

KERNEL, SIGMA = 11, 5.0


@dataclass(frozen=True)
class BaselineMaker:
    """Makes the baseline of things x [B, C, rows, columns] that a record names."""

    given: Baseline
    whole: Shape
    """Of one thing, [C, *S]."""
    black: NDArray[np.float32]
    """The value of nothing there, [C]; or [C, *S], where it is not the same everywhere."""
    key: noise.Key
    """Seeds that are known when the graph runs are uint32 [B, 1]."""
    noise_held: bool = False
    """Whether uniform noise lies in the file."""

    def __call__(self, op: Tape, x: ir.Value) -> ir.Value:
        """Return the baseline in the shape of x. Raises: UsageError: no such name, or an array of another shape."""
        if not isinstance(self.given, str):
            return _spread(op, x, self._on_plane(baseline_array(self.given, self.whole)))
        if self.given in ("zero", "black"):
            return _spread(op, x, self._on_plane(self.black) if self.given == "black" else np.zeros((), np.float32))
        if self.given == "blur":
            return blurred(op, x, self.shape)
        if self.given == "uniform":
            return uniform_baseline(op, x, self.shape, self.key, held=self.noise_held)
        raise UsageError(f"option baseline={self.given!r}: expected zero, black, blur, uniform or an array")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of x without its batch axis."""
        return plane_shape(self.whole)

    def _on_plane(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return numbers [C], [C, *S] or one, so that they fit x."""
        return values.reshape(self.shape) if values.shape == self.whole else values.reshape(-1, 1, 1)


def _spread(op: Tape, x: ir.Value, array: NDArray[np.float32]) -> ir.Value:
    return op.Expand(op.const(array), op.Shape(x))


def blurred(op: Tape, x: ir.Value, shape: tuple[int, int, int]) -> ir.Value:
    """Return pictures [B, C, H, W] under a Gaussian, borders reflected without the edge, as ``kernels.blur`` does."""
    weights, channels = gaussian_weights(KERNEL, SIGMA), shape[0]
    down = op.const(np.tile(weights.reshape(1, 1, -1, 1), (channels, 1, 1, 1)))
    across = op.const(np.tile(weights.reshape(1, 1, 1, -1), (channels, 1, 1, 1)))
    return op.Conv(op.Conv(_reflected(op, x, shape[1:]), down, group=channels), across, group=channels)


def _reflected(op: Tape, x: ir.Value, size: tuple[int, int]) -> ir.Value:
    """Return pictures with half a kernel more at each border; Pad reflects no more than there is, so once at most."""
    half = KERNEL // 2
    if min(size) > half:
        return op.Pad(x, [0, 0, half, half, 0, 0, half, half], mode="reflect")
    for axis, n in enumerate(size, 2):
        x = op.Gather(x, op.const(np.pad(np.arange(n), half, mode="reflect")), axis=axis)
    return x


def uniform_baseline(op: Tape, x: ir.Value, shape: Shape, key: noise.Key, *, held: bool = False) -> ir.Value:
    """Return uniform noise in the range of each picture, the same numbers as streaming draws."""
    axes = [1, 2, 3]
    low = op.ReduceMin(x, axes, keepdims=1)
    span = op.Sub(op.ReduceMax(x, axes, keepdims=1), low)
    if held:
        return op.Add(low, op.Mul(noise.held_uniform(op, shape, key), span))
    drawn = noise.uniform(op, op.const(np.zeros(1, np.int64)), int(np.prod(shape)), key)
    return op.Add(low, op.Mul(op.Reshape(drawn, [-1, *shape]), span))
