"""Scores of many changed pictures through one small buffer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from onnxsal.errors import UsageError
from onnxsal.metrics.judgement import Doubles, Floats, Score

BATCH = 16


def scores_of(score: Score, shape: tuple[int, ...], count: int, write: Callable[[Floats, int], None]) -> Doubles:
    """Return the scores of ``count`` pictures, float64 [count]; ``write(out, i)`` writes picture i, [C, H, W].

    Pictures share a buffer, so a score must not keep what it is given. It is called with 16 of them, or with as many
    as its attribute ``batch`` says.
    """
    buffer = np.empty((min(count, int(getattr(score, "batch", BATCH))), *shape), np.float32)
    found = np.empty(count)
    for start in range(0, count, len(buffer) or 1):
        part = buffer[: count - start]
        for i, image in enumerate(part):
            write(image, start + i)
        found[start : start + len(part)] = checked(score(part), len(part))
    return found


def scores(score: Score, images: Floats) -> Doubles:
    """Return the scores of a few pictures [N, C, H, W], float64 [N]."""
    return checked(score(np.ascontiguousarray(images, np.float32)), len(images))


def checked(values: Any, count: int) -> Doubles:
    """Return a callable's scores as float64 [N]. Raises: UsageError: another number of them, or not finite."""
    found = np.asarray(values, np.float64)
    if found.shape != (count,) or not np.isfinite(found).all():
        what = f"shape {list(found.shape)}" if found.shape != (count,) else "values that are NaN or infinite"
        raise UsageError(f"the score must give one finite number a picture: expected [{count}], got {what}")
    return found
