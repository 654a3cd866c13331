"""Positions of any rank as rows and columns, which the kernels are written for, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def plane_size(size: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows and columns of positions S: a sequence is one row, of a volume the rows of all slices are."""
    return math.prod(size[:-1]), size[-1]


def plane(values: NDArray[Any], rank: int) -> NDArray[Any]:
    """Return an array [..., *S] as [..., rows, columns]; ``rank`` is that of S. It shares its memory."""
    leading = values.shape[: values.ndim - rank]
    return values.reshape(*leading, *plane_size(values.shape[values.ndim - rank :]))


def unplane(values: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """Return an array [..., rows, columns] as [..., *S] of that size; it shares its memory."""
    return np.reshape(values, (*values.shape[:-2], *size))
