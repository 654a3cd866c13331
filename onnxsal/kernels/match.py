"""The best match of boxes with what a detector found: the largest overlap times score over its candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.native import kernel, part

Floats = NDArray[np.float32]


@part
def _area(left: Any, top: Any, right: Any, bottom: Any) -> Any:
    return max(right - left, 0.0) * max(bottom - top, 0.0)


@part
def _shared(one: Any, two: Any) -> Any:
    """Return the IoU of two boxes."""
    a, b, c, d = np.float64(one[0]), np.float64(one[1]), np.float64(one[2]), np.float64(one[3])
    e, f, g, h = np.float64(two[0]), np.float64(two[1]), np.float64(two[2]), np.float64(two[3])
    common = _area(max(a, e), max(b, f), min(c, g), min(d, h))
    together = _area(a, b, c, d) + _area(e, f, g, h) - common
    return common / together if together > 0 else 0.0


@kernel
def _match(out: Any, boxes: Any, scores: Any, columns: Any, aims: Any) -> None:
    for r in range(out.shape[0]):
        for t in range(out.shape[1]):
            best = 0.0
            for n in range(boxes.shape[1]):
                score = np.float64(scores[r, n, columns[r, t]])
                if score <= best:  # no overlap is more than 1
                    continue
                value = score * _shared(boxes[r, n], aims[r, t])
                if np.isnan(value):  # for whoever checks that scores are finite
                    best = value
                    break
                best = max(best, value)
            out[r, t] = best


def best_match(boxes: Floats, scores: Floats, columns: NDArray[np.int64], aims: Floats) -> Floats:
    """Return the largest IoU times score, float32 [R, T]; 0 where nothing overlaps, NaN where a score is.

    Args:
        boxes: left, top, right, bottom of every candidate, [R, N, 4]; those that cover nothing overlap nothing.
        scores: of every candidate, [R, N, K].
        columns: which of the scores is matched, from 0 to K - 1, [R, T].
        aims: the boxes that are matched, [R, T, 4].

    Source: Petsiuk et al. 2021, arXiv:2006.03204, eq. 1.
    """
    given = [np.ascontiguousarray(each, np.float32) for each in (boxes, scores, aims)]
    out = np.empty(columns.shape, np.float32)
    _match(out, given[0], given[1], np.ascontiguousarray(columns, np.int64), given[2])
    return out
