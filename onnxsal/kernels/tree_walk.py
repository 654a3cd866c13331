"""Walks through trees in pre-order: one row down to its leaf, and what many rows answer at one test."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxsal.kernels.native import kernel, part, scalar


@part
def is_member(x: Any, chosen: Any, first: Any, values: Any, whole: Any) -> Any:
    """Return whether x is in a set; ONNX Runtime cuts off the fraction where it holds the set as whole numbers."""
    look = np.trunc(x) if whole[chosen] else x
    low, high = first[chosen], first[chosen + 1]
    while low < high:
        middle = (low + high) // 2
        if values[middle] < look:
            low = middle + 1
        else:
            high = middle
    return low < first[chosen + 1] and values[low] == look


@scalar
def holds(x: Any, mode: Any, threshold: Any) -> Any:
    """Return whether a test other than a membership holds."""
    if mode == 0:
        return x <= threshold
    if mode == 1:
        return x < threshold
    if mode == 2:
        return x >= threshold
    if mode == 3:
        return x > threshold
    return (x == threshold) == (mode == 4)


@part
def passes(x: Any, node: Any, tests: Any) -> Any:
    """Return whether a value passes a node's test, missing or not."""
    _, threshold, mode, missing, _, _, first, values, whole = tests
    if np.isnan(x):
        return missing[node] or mode[node] == 5
    if mode[node] == 6:
        return is_member(x, int(threshold[node]), first, values, whole)
    return holds(x, mode[node], threshold[node])


@kernel
def leaf_sums(out: Any, columns: Any, tests: Any, held: Any) -> None:
    """Add to ``out`` [rows, columns of weights] what the leaves say that each row of ``columns`` [F, rows] ends in."""
    feature, other, start = tests[0], tests[4], tests[5]
    first, column, weight = held
    for row in range(out.shape[0]):
        for tree in range(start.size - 1):
            node = start[tree]
            while other[node] >= 0:
                node = node + 1 if passes(columns[feature[node], row], node, tests) else other[node]
            for i in range(first[node], first[node + 1]):
                out[row, column[i]] += weight[i]


@part
def answers(out: Any, values: Any, node: Any, tests: Any) -> None:
    """Write whether each of ``values`` passes a node's test; a mode is chosen once, so that loops are vector code."""
    mode, threshold, missing = tests[2][node], tests[1][node], tests[3][node]
    if mode == 0:
        for r in range(out.size):
            out[r] = values[r] <= threshold
    elif mode == 1:
        for r in range(out.size):
            out[r] = values[r] < threshold
    elif mode == 2:
        for r in range(out.size):
            out[r] = values[r] >= threshold
    elif mode == 3:
        for r in range(out.size):
            out[r] = values[r] > threshold
    else:
        for r in range(out.size):
            out[r] = passes(values[r], node, tests)
    if missing:
        for r in range(out.size):
            out[r] |= values[r] != values[r]
