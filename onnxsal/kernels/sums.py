"""Running sums of what a model puts out: one pass over each output, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.native import kernel

Doubles = NDArray[np.float64]


@kernel
def _add(sums: Any, rows: Any, groups: Any, weights: Any) -> None:
    for r in range(rows.shape[0]):
        to, weight = sums[groups[r]], weights[r]
        for i in range(rows.shape[1]):
            to[i] += weight * np.float64(rows[r, i])


@kernel
def _add_both(sums: Any, squares: Any, rows: Any, groups: Any, weights: Any) -> None:
    for r in range(rows.shape[0]):
        to, square, weight = sums[groups[r]], squares[groups[r]], weights[r]
        for i in range(rows.shape[1]):
            value = np.float64(rows[r, i])
            weighted = weight * value
            to[i] += weighted
            square[i] += weighted * value


def add_rows(
    y: NDArray[Any], groups: NDArray[np.int64], weights: Doubles, sums: Doubles, squares: Doubles | None = None
) -> None:
    """Add every row of y, times its weight, to the sums of its group, and its squares to ``squares``, in place.

    Shape: y [R, ...]; groups, weights [R]; sums, squares float64 [G, ...], contiguous.
    """
    rows = np.ascontiguousarray(y, np.float32).reshape(len(groups), -1)
    if squares is None:
        _add(_flat(sums), rows, groups, weights)
    else:
        _add_both(_flat(sums), _flat(squares), rows, groups, weights)


def _flat(sums: Doubles) -> Doubles:
    return sums.reshape(len(sums), -1)
