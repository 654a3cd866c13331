"""Shapley values by all coalitions of a few columns (Shapley 1953), whatever the model is."""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray

from onnxsal.explanation.shapley.game import Game

Doubles = NDArray[np.float64]

MOST = 12
"""Columns of which all coalitions are run: 4096 of them."""

ROWS = 2**21
"""Rows through the model, coalitions by background rows, up to which all coalitions are run where nothing is asked."""


def rows_of(game: Game) -> int:
    """Return how many rows go through the model for a game."""
    return int(2 ** len(game.players)) * len(game.background)


def exact_values(game: Game) -> Doubles:
    """Return the Shapley value of each column, [F]."""
    players = len(game.players)
    if not players:
        return np.zeros(len(game.row))
    sets = np.arange(2**players)
    scores = game.means((sets[:, None] >> np.arange(players)) & 1 == 1)
    sizes = np.array([int(each).bit_count() for each in sets])
    weights = np.array([factorial(n) * factorial(players - n - 1) / factorial(players) for n in range(players)])
    values = np.empty(players)
    for player in range(players):
        without = sets[(sets >> player) & 1 == 0]
        values[player] = weights[sizes[without]] @ (scores[without | (1 << player)] - scores[without])
    return game.spread(values)
