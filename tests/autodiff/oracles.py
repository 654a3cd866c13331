"""Operators that onnx's reference evaluator gets wrong or rounds to float32, as their pages define them."""

from __future__ import annotations

import math

import numpy as np
from onnx.reference.op_run import OpRun
from window_oracles import WINDOW_ORACLES

_erf = np.vectorize(math.erf, otypes=[np.float64])


class Erf(OpRun):
    """The evaluator's own rounds to float32."""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (_erf(x).astype(x.dtype),)


class Gelu(OpRun):
    """The evaluator's own goes through Erf in float32."""

    def _run(self, x: np.ndarray, approximate: str = "none") -> tuple[np.ndarray]:
        if approximate == "tanh":
            return (0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)
        return (0.5 * x * (1 + _erf(x / math.sqrt(2))).astype(x.dtype),)


class LRN(OpRun):
    """The evaluator's own loops over the batch where it means the channels."""

    def _run(self, x: np.ndarray, alpha: float, beta: float, bias: float, size: int) -> tuple[np.ndarray]:
        total, channels = np.zeros_like(x), x.shape[1]
        for c in range(channels):
            low, high = max(0, c - (size - 1) // 2), min(channels - 1, c + math.ceil((size - 1) / 2))
            total[:, c] = (x[:, low : high + 1] ** 2).sum(1)
        return ((x / (bias + alpha / size * total) ** beta).astype(x.dtype),)


class LpNormalization(OpRun):
    """The evaluator's own takes no absolute values at p = 1."""

    def _run(self, x: np.ndarray, axis: int, p: int) -> tuple[np.ndarray]:
        norm = (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
        return (np.where(norm == 0, 0, x / norm).astype(x.dtype),)


class MeanVarianceNormalization(OpRun):
    """The evaluator's own mixes its float32 constants with float64."""

    def _run(self, x: np.ndarray, axes: list[int]) -> tuple[np.ndarray]:
        centred = x - x.mean(axis=tuple(axes), keepdims=True)
        return (centred / (np.sqrt((centred**2).mean(axis=tuple(axes), keepdims=True)) + 1e-9),)


class GroupNormalization(OpRun):
    """The evaluator's own standardises in float32."""

    def _run(self, x, scale, bias, epsilon, num_groups, stash_type=1):  # type: ignore[no-untyped-def]
        grouped = x.reshape(x.shape[0], num_groups, -1)
        centred = grouped - grouped.mean(-1, keepdims=True)
        normal = (centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)).reshape(x.shape)
        tail = (-1, *[1] * (x.ndim - 2))
        return ((normal * scale.reshape(tail) + bias.reshape(tail)).astype(x.dtype),)


class GatherElements(OpRun):
    """The evaluator's own takes no index that is smaller than the data elsewhere."""

    def _run(self, x: np.ndarray, indices: np.ndarray, axis: int) -> tuple[np.ndarray]:
        grid = list(np.indices(indices.shape, sparse=True))
        grid[axis] = indices
        return (x[tuple(grid)],)


class Pad(OpRun):
    """The evaluator's own takes no negative pads."""

    def _run(self, x, pads, value=None, axes=None, mode="constant"):  # type: ignore[no-untyped-def]
        along = np.arange(x.ndim) if axes is None else np.asarray(axes) % x.ndim
        widths = [(0, 0)] * x.ndim
        for a, low, high in zip(along, *np.split(pads, 2), strict=True):
            keep = slice(max(-low, 0), x.shape[a] + min(high, 0))
            x = np.take(x, np.arange(x.shape[a])[keep], axis=a)
            widths[a] = (max(low, 0), max(high, 0))
        if mode != "constant":
            return (np.pad(x, widths, mode=mode),)
        return (np.pad(x, widths, constant_values=0 if value is None else np.reshape(value, ())),)


class AffineGrid(OpRun):
    """The evaluator's own mixes its float32 positions with float64."""

    def _run(self, theta: np.ndarray, size: np.ndarray, align_corners: int = 0) -> tuple[np.ndarray]:
        axes = [np.linspace(-1, 1, n) if align_corners else (2 * np.arange(n) + 1) / n - 1 for n in size[2:]]
        mesh = np.meshgrid(*axes, indexing="ij")
        points = np.stack([*mesh[::-1], np.ones(size[2:])], axis=-1)
        return (np.einsum("...j,bij->b...i", points, theta).astype(theta.dtype),)


ORACLES = [
    AffineGrid,
    Erf,
    Gelu,
    LRN,
    LpNormalization,
    MeanVarianceNormalization,
    GroupNormalization,
    GatherElements,
    Pad,
    *WINDOW_ORACLES,
]
