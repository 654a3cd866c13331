"""The parts of a target: classes at places, and the weighted mean that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.tasks.target import Target


@dataclass(frozen=True)
class Part:
    """A class and the positions that it is asked at: how much each counts, [positions], together 1."""

    index: int
    label: str
    weights: NDArray[np.float64]
    about: Mapping[str, Any] = field(default_factory=dict)


def mean_of(
    parts: Sequence[Part], target: int | tuple[int, int], label: str, positions: int, about: Mapping[str, Any]
) -> Target:
    """Return the weighted mean of the first part's class, minus that of the second's."""
    indices, weights = [], []
    for part, sign in zip(parts, (1.0, -1.0), strict=False):
        at = np.flatnonzero(part.weights)
        indices.append(part.index * positions + at)
        weights.append(sign * part.weights[at])
    columns = np.concatenate(indices).astype(np.int64)
    return Target(target, label, None, columns, np.concatenate(weights).astype(np.float32), about)
