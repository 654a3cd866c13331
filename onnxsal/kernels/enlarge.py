"""Coarse masks enlarged: along each axis every place is a weighted sum of the cells, from a place of its own on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.native import kernel

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]


@kernel
def _along(out: Any, cells: Any, table: Any, first: Any) -> None:
    length = out.shape[2]
    line = np.empty(length, np.float64)
    for r in range(out.shape[0]):
        for i in range(out.shape[1]):
            line[:] = 0
            for g in range(cells.shape[1]):
                share, weights = cells[r, g, i], table[g, first[r] : first[r] + length]
                if share != 0:
                    for x in range(length):
                        line[x] += share * weights[x]
            out[r, i] = line


def enlarged(
    cells: NDArray[Any], first: Indices, tables: tuple[Doubles, ...], size: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return masks enlarged, float32 [n, *size]; each depends on its own cells alone.

    In float64 and without BLAS, whose threads would take the cores from the model that runs meanwhile.

    Args:
        cells: [n, g, ...], one axis for each of the size.
        first: where each mask begins on the enlarged grid, [n, rank].
        tables: for each axis what each cell weighs at every place of the enlarged grid, [L, g].
    """
    count, found = len(cells), cells.astype(np.float64)
    for axis, (table, length) in enumerate(zip(tables, size, strict=True)):
        last = axis == len(size) - 1
        # The axis in front is enlarged and goes behind the others, so that all are in order at the end.
        lines = found.reshape(count, found.shape[1], -1)
        out = np.empty((count, lines.shape[2], length), np.float32 if last else np.float64)
        _along(out, lines, np.ascontiguousarray(table.T), np.ascontiguousarray(first[:, axis], np.int64))
        found = out.reshape(count, *found.shape[2:], length)
    return np.asarray(found, np.float32)
