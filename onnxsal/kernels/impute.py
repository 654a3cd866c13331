"""Noisy linear imputation without the noise: pixels that are gone become the weighted mean of their neighbours.

A gone pixel equals the mean of its eight neighbours, 1/6 for each side and 1/12 for each corner, gone ones included;
neighbours outside the picture do not count. That is one sparse, symmetric, positive definite system a picture. It is
solved by conjugate gradients on the grid itself, begun from the solution at half the size.

Source: Rong et al. 2022, arXiv:2202.00449 (the weights are those of the authors' code).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.kernels.native import kernel, part
from onnxsal.kernels.resize import bilinear

Floats = NDArray[np.float32]

SIDE, CORNER = np.float32(1 / 6), np.float32(1 / 12)
_SMALLEST = 8


@part
def _apply(p: Any, weight: Any, gone: Any, q: Any, sums: Any) -> Any:
    # Planes have a border of zeros. One sum a column: such loops become vector code.
    sums[:] = 0
    for c in range(p.shape[0]):
        for y in range(1, p.shape[1] - 1):
            above, line, below = p[c, y - 1], p[c, y], p[c, y + 1]
            out, own, here = q[c, y], weight[y], gone[y]
            for x in range(1, line.size - 1):
                sides = above[x] + below[x] + line[x - 1] + line[x + 1]
                corners = above[x - 1] + above[x + 1] + below[x - 1] + below[x + 1]
                value = (own[x] * line[x] - SIDE * sides - CORNER * corners) * here[x]
                out[x] = value
                sums[x] += value * line[x]
    return sums.sum()


@part
def _step(v: Any, r: Any, p: Any, q: Any, alpha: Any, sums: Any) -> Any:
    sums[:] = 0
    for c in range(p.shape[0]):
        for y in range(1, p.shape[1] - 1):
            value, rest, way, product = v[c, y], r[c, y], p[c, y], q[c, y]
            for x in range(rest.size):
                value[x] += alpha * way[x]
                left = rest[x] - alpha * product[x]
                rest[x] = left
                sums[x] += left * left
    return sums.sum()


@part
def _turn(r: Any, p: Any, beta: Any) -> None:
    for c in range(p.shape[0]):
        for y in range(1, p.shape[1] - 1):
            rest, way = r[c, y], p[c, y]
            for x in range(rest.size):
                way[x] = rest[x] + beta * way[x]


@kernel
def _solve(v: Any, weight: Any, gone: Any, work: Any, limits: Any) -> Any:
    r, p, q = work[0], work[1], work[2]
    sums = np.zeros(v.shape[2], np.float32)
    _apply(v, weight, gone, q, sums)
    zero = np.float32(0)
    p[:] = zero
    energy = np.float64(_step(p, r, p, q, np.float32(1), sums))  # r - q, with r the zeros it came with
    _turn(r, p, zero)
    rounds = 0
    while energy > limits[0] and rounds < limits[1]:
        alpha = np.float32(energy / np.float64(_apply(p, weight, gone, q, sums)))
        before = energy
        energy = np.float64(_step(v, r, p, q, alpha, sums))
        _turn(r, p, np.float32(energy / before))
        rounds += 1
    return rounds


def impute(x: NDArray[Any], gone: NDArray[np.bool_], *, tolerance: float = 3e-6) -> Floats:
    """Return x with its gone pixels filled from those around them, float32 [C, H, W].

    Args:
        x: [C, H, W], finite; what it holds where pixels are gone plays no part.
        gone: bool [H, W].
        tolerance: root mean square by which a filled pixel may differ from the mean of its neighbours, as a share of
            the range of what is left.
    Raises: UsageError: every pixel is gone.
    """
    images = np.asarray(x, np.float32)
    if gone.shape != images.shape[1:] or images.ndim != 3:
        raise UsageError(
            f"impute: expected a picture [C, H, W] and gone pixels [H, W]; got a picture of {list(images.shape)} "
            f"and gone pixels of {list(gone.shape)}"
        )
    if gone.all():
        raise UsageError("impute: every pixel is gone, nothing is left to fill them from")
    if not gone.any():
        return images.copy()
    left = images[:, ~gone]
    low, span = left.min(), np.ptp(left)
    if not span > 0:
        return np.where(gone, low, images)
    filled = _multilevel((images - low) / span, gone, tolerance)
    return np.where(gone, filled * span + low, images)


def _multilevel(x: Floats, gone: NDArray[np.bool_], tolerance: float) -> Floats:
    if min(gone.shape) > _SMALLEST:
        coarse = _multilevel(*_halved(x, gone), tolerance)
        guess = bilinear(coarse, gone.shape)
    else:
        guess = np.broadcast_to(x[:, ~gone].mean(axis=1)[:, None, None], x.shape)
    return _relaxed(np.where(gone, guess, x), gone, tolerance)


def _halved(x: Floats, gone: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the picture at half its size: the mean of the pixels left in each 2 x 2, gone where none is."""
    rows, columns = (np.arange(0, length, 2) for length in gone.shape)
    left = np.add.reduceat(np.add.reduceat((~gone).astype(np.float32), rows, axis=0), columns, axis=1)
    total = np.add.reduceat(np.add.reduceat(np.where(gone, 0, x), rows, axis=1), columns, axis=2)
    return np.asarray(total / np.maximum(left, 1), np.float32), left == 0


def _relaxed(start: Floats, gone: NDArray[np.bool_], tolerance: float) -> Floats:
    channels = len(start)
    values = np.pad(start, ((0, 0), (1, 1), (1, 1)))
    here = np.pad(gone, 1).astype(np.float32)
    work = np.zeros((3, *values.shape), np.float32)
    limits = (channels * int(gone.sum()) * tolerance**2, 4 * sum(gone.shape))
    _solve(values, _weights(gone.shape), here, work, limits)
    return np.ascontiguousarray(values[:, 1:-1, 1:-1])


def _weights(size: tuple[int, ...]) -> Floats:
    """Return the weight of each pixel's neighbours inside the picture, bordered, [H + 2, W + 2]; 1 in the middle."""
    inside = np.pad(np.ones(size, np.float32), 2)
    rows = inside[:-2] + inside[2:]
    sides = rows[:, 1:-1] + inside[1:-1, :-2] + inside[1:-1, 2:]
    corners = rows[:, :-2] + rows[:, 2:]
    return np.asarray(SIDE * sides + CORNER * corners, np.float32)
