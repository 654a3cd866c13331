"""What a graph reads of token ids past the vectors that they become: nothing, which of them are some, or all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Past:
    """What is read of ids past their vectors, beside how many they are."""

    own: bool = False
    """Whether they are read themselves, so that the graph is another one for each text."""
    told: frozenset[int] = frozenset()
    """Ids that are told from all others, as that of padding is where positions are counted."""

    @property
    def other(self) -> int:
        """An id that stands for all that are not told apart."""
        return next(i for i in count() if i not in self.told)

    def read(self, ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return what is read of the ids of a text, those that are not told apart as one; None where that is all."""
        if self.own:
            return ids
        apart = np.isin(ids, sorted(self.told))
        return np.where(apart, ids, self.other) if apart.any() else None
