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


@kernel
def _add_weighed(sums: Any, rows: Any, groups: Any, weights: Any) -> None:
    step = 512  # a group's sums stay in the processor's first cache until all of its rows are in them
    order = np.argsort(groups, kind="mergesort")  # stable: rows of a group are added one after the other
    for start in range(0, rows.shape[1], step):
        stop = min(start + step, rows.shape[1])
        first = 0
        while first < order.size:
            group, last = groups[order[first]], first + 1
            while last < order.size and groups[order[last]] == group:
                last += 1
            for t in range(sums.shape[0]):
                to = sums[t, group, start:stop]
                for r in order[first:last]:
                    row, weight = rows[r, start:stop], weights[t, r]
                    for i in range(row.size):
                        to[i] += weight * np.float64(row[i])
            first = last


def add_weighed(y: NDArray[Any], groups: NDArray[np.int64], weights: Doubles, sums: Doubles) -> None:
    """Add every row of y to the sums of its group, of each target times its weight there, in place.

    Shape: y [R, ...]; groups [R]; weights [T, R]; sums float64 [T, G, ...], contiguous.
    """
    rows = np.ascontiguousarray(y, np.float32).reshape(len(groups), -1)
    _add_weighed(sums.reshape(*sums.shape[:2], -1), rows, groups, np.ascontiguousarray(weights, np.float64))


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
