"""The game of a row: what a score is on average where some columns are the row's and the others a background row's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

Score = Callable[[Doubles], Doubles]
"""From rows [n, F] to the score of each, [n]."""

_AT_ONCE = 2**21
"""Numbers of mixed rows that are made together: 16 MiB."""


@dataclass
class Game:
    """A row against background rows, for one score; columns in which it differs from none of them are no players."""

    score: Score
    row: Doubles
    """[F]."""
    background: Doubles
    """[n, F]."""
    runs: int = field(default=0, init=False)
    """How many rows went through the model so far."""

    def __post_init__(self) -> None:
        self.players = np.flatnonzero(~_same(self.background, self.row).all(axis=0))
        """The columns that are played with, [M]."""

    def means(self, coalitions: Bools) -> Doubles:
        """Return the score of coalitions [S, M], true where the column is the row's, over all background rows: [S]."""
        found, step = np.empty(len(coalitions)), self._step()
        for at in range(0, len(coalitions), step):
            found[at : at + step] = self._means(coalitions[at : at + step])
        return found

    def _step(self) -> int:
        return max(_AT_ONCE // max(self.background.size, 1), 1)

    def _means(self, coalitions: Bools) -> Doubles:
        taken = np.zeros((len(coalitions), len(self.row)), bool)
        taken[:, self.players] = coalitions
        mixed = np.where(taken[:, None], self.row, self.background)
        self.runs += len(coalitions) * len(self.background)
        scores = self.score(mixed.reshape(-1, len(self.row)))
        return np.asarray(scores.reshape(len(coalitions), -1).mean(axis=1, dtype=np.float64))

    def spread(self, values: Doubles) -> Doubles:
        """Return the values of the players [..., M] as those of all columns [..., F]: the others have none."""
        found = np.zeros((*values.shape[:-1], len(self.row)))
        found[..., self.players] = values
        return found


def _same(rows: Doubles, row: Doubles) -> Bools:
    return np.asarray((rows == row) | (np.isnan(rows) & np.isnan(row)))
