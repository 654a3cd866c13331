"""Sliding windows as the operators' pages define them, tap by tap; onnx's reference evaluator gets many of them wrong.

Its ConvTranspose knows no groups, its SAME_LOWER is SAME_UPPER, its LpPool ignores the ceil mode.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun


@dataclass(frozen=True)
class Grid:
    """Where windows lie: pads before and after, and how many windows there are along each axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    out: tuple[int, ...]

    def taps(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Yield every cell of the kernel with the padded input's elements that it sees."""
        for cell in itertools.product(*map(range, self.kernel)):
            rows = zip(cell, self.strides, self.dilations, self.out, strict=True)
            yield cell, tuple(slice(k * d, k * d + (o - 1) * s + 1, s) for k, s, d, o in rows)

    def pad(self, x: np.ndarray, value: float) -> np.ndarray:
        room = [k * d + s for k, s, d in zip(self.kernel, self.strides, self.dilations, strict=True)]
        widths = [(b, e + r) for b, e, r in zip(self.begin, self.end, room, strict=True)]
        return np.pad(x, [(0, 0), (0, 0), *widths], constant_values=value)


def grid_of(sizes: tuple[int, ...], kernel: Any, given: dict[str, Any]) -> Grid:
    n = len(kernel)
    strides = tuple(given.get("strides") or [1] * n)
    dilations = tuple(given.get("dilations") or [1] * n)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    mode = given.get("auto_pad") or "NOTSET"
    if mode.startswith("SAME"):
        out = [-(-i // s) for i, s in zip(sizes, strides, strict=True)]
        totals = [max((o - 1) * s + e - i, 0) for o, s, e, i in zip(out, strides, extents, sizes, strict=True)]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        begin, end = (small, large) if mode == "SAME_UPPER" else (large, small)
        return Grid(tuple(kernel), strides, dilations, tuple(begin), tuple(end), tuple(out))
    pads = list(given.get("pads") or [0] * 2 * n) if mode == "NOTSET" else [0] * 2 * n
    out = []
    for i, e, s, b, a in zip(sizes, extents, strides, pads[:n], pads[n:], strict=True):
        count = ((math.ceil if given.get("ceil_mode") else math.floor)((i + b + a - e) / s)) + 1
        out.append(count - 1 if given.get("ceil_mode") and (count - 1) * s >= i + b else count)
    return Grid(tuple(kernel), strides, dilations, tuple(pads[:n]), tuple(pads[n:]), tuple(out))


class Conv(OpRun):
    def _run(self, x, w, b=None, group=1, **given):  # type: ignore[no-untyped-def]
        grid = grid_of(x.shape[2:], w.shape[2:], given)
        wide = grid.pad(x, 0)
        y = np.zeros((x.shape[0], w.shape[0], *grid.out), x.dtype)
        m, c = w.shape[0] // group, w.shape[1]
        for (cell, where), i in itertools.product(grid.taps(), range(group)):
            seen = wide[(slice(None), slice(i * c, (i + 1) * c), *where)]
            y[:, i * m : (i + 1) * m] += np.einsum(
                "nc...,mc->nm...", seen, w[(slice(i * m, (i + 1) * m), slice(None), *cell)]
            )
        return (y if b is None else y + b.reshape(-1, *[1] * len(grid.out)),)


class ConvTranspose(OpRun):
    def _run(self, x, w, b=None, group=1, output_padding=None, output_shape=None, **given):  # type: ignore[no-untyped-def]
        n = x.ndim - 2
        bare = {k: v for k, v in given.items() if k in ("strides", "dilations")}
        grid = grid_of((10**6,) * n, w.shape[2:], bare)
        extents = [(k - 1) * d + 1 for k, d in zip(grid.kernel, grid.dilations, strict=True)]
        extra = output_padding or [0] * n
        whole = [(s - 1) * t + e + o for s, t, e, o in zip(x.shape[2:], grid.strides, extents, extra, strict=True)]
        begin, end = self._pads(
            whole, [s * t for s, t in zip(x.shape[2:], grid.strides, strict=True)], output_shape, given
        )
        c, m = x.shape[1] // group, w.shape[1]
        y = np.zeros((x.shape[0], m * group, *whole), x.dtype)
        steps = Grid(grid.kernel, grid.strides, grid.dilations, (0,) * n, (0,) * n, x.shape[2:])
        for (cell, where), i in itertools.product(steps.taps(), range(group)):
            part = np.einsum(
                "nc...,cm->nm...", x[:, i * c : (i + 1) * c], w[(slice(i * c, (i + 1) * c), slice(None), *cell)]
            )
            y[(slice(None), slice(i * m, (i + 1) * m), *where)] += part
        cut = tuple(slice(p, size - q) for p, q, size in zip(begin, end, whole, strict=True))
        y = y[(slice(None), slice(None), *cut)]
        return (y if b is None else y + b.reshape(-1, *[1] * n),)

    def _pads(self, whole, same, output_shape, given):  # type: ignore[no-untyped-def]
        n, mode = len(whole), given.get("auto_pad") or "NOTSET"
        if not output_shape and not mode.startswith("SAME"):
            pads = list(given.get("pads") or [0] * 2 * n)
            return pads[:n], pads[n:]
        totals = [t - o for t, o in zip(whole, output_shape[-n:] if output_shape else same, strict=True)]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        return (small, large) if mode == "SAME_UPPER" else (large, small)


class MaxPool(OpRun):
    def _run(self, x, kernel_shape=None, storage_order=0, **given):  # type: ignore[no-untyped-def]
        grid = grid_of(x.shape[2:], kernel_shape, given)
        numbers = np.arange(x.size).reshape(x.shape)
        if storage_order:
            planes = np.arange(int(np.prod(x.shape[2:]))).reshape(x.shape[:1:-1]).T
            numbers = numbers // planes.size * planes.size + planes
        low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        wide, ids = grid.pad(x, low), grid.pad(numbers, -1)
        best, where = np.full((*x.shape[:2], *grid.out), low, x.dtype), np.full((*x.shape[:2], *grid.out), -1)
        for _, seen in grid.taps():
            value, number = wide[(slice(None), slice(None), *seen)], ids[(slice(None), slice(None), *seen)]
            better = (value > best) | ((where < 0) & (number >= 0))
            best, where = np.where(better, value, best), np.where(better, number, where)
        return (best, where) if len(self.onnx_node.output) > 1 else (best,)


class AveragePool(OpRun):
    def _run(self, x, kernel_shape=None, count_include_pad=0, **given):  # type: ignore[no-untyped-def]
        grid = grid_of(x.shape[2:], kernel_shape, given)
        inner = np.ones_like(x) if not count_include_pad else grid_padded_ones(grid, x)
        wide = grid.pad(x, 0)
        there = grid.pad(np.ones_like(x), 0) if not count_include_pad else inner
        taps = [(slice(None), slice(None), *seen) for _, seen in grid.taps()]
        return (sum(wide[t] for t in taps) / sum(there[t] for t in taps),)


def grid_padded_ones(grid: Grid, x: np.ndarray) -> np.ndarray:
    widths = [(0, 0), (0, 0), *zip(grid.begin, grid.end, strict=True)]
    bare = Grid(grid.kernel, grid.strides, grid.dilations, (0,) * len(grid.out), (0,) * len(grid.out), grid.out)
    return bare.pad(np.pad(np.ones_like(x), widths, constant_values=1), 0)


class LpPool(OpRun):
    def _run(self, x, kernel_shape=None, p=2, **given):  # type: ignore[no-untyped-def]
        grid = grid_of(x.shape[2:], kernel_shape, given)
        wide = np.abs(grid.pad(x, 0)) ** p
        return (sum(wide[(slice(None), slice(None), *seen)] for _, seen in grid.taps()) ** (1 / p),)


class GlobalLpPool(OpRun):
    def _run(self, x, p=2):  # type: ignore[no-untyped-def]
        return ((np.abs(x) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


class GlobalMaxPool(OpRun):
    def _run(self, x):  # type: ignore[no-untyped-def]
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


WINDOW_ORACLES = [Conv, ConvTranspose, MaxPool, AveragePool, LpPool, GlobalLpPool, GlobalMaxPool]
