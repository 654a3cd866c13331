"""Things of any rank as metrics take them: all positions in one plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.plane import plane

Floats = NDArray[np.float32]
Called = Callable[[Floats], NDArray[Any]]


@dataclass(frozen=True)
class Plane:
    """The positions of a thing [C, *S] as rows and columns; of pictures they are that."""

    shape: tuple[int, ...]
    """Of the thing: [C, *S]."""

    @property
    def _rank(self) -> int:
        return len(self.shape) - 1

    def flat(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values at all positions, [..., *S], as [..., rows, columns]; those at others stay as they are."""
        at_all = values.ndim >= self._rank and values.shape[values.ndim - self._rank :] == self.shape[1:]
        return plane(values, self._rank) if at_all else values

    def scoring(self, own: Called) -> Called:
        """Return a function of things [N, C, *S] that gives a number of each, as one of their planes."""
        if self._rank == 2:
            return own
        return lambda things: own(things.reshape(-1, *self.shape))  # as many as there are positions are no map

    def mapping(self, own: Called) -> Called:
        """Return a function of things [N, C, *S] that gives maps of theirs, as one of their planes."""
        return own if self._rank == 2 else lambda things: self.flat(self.scoring(own)(things))
