"""How many tokens a model takes: as many as its table of positions has, which running tells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onnxsal.anatomy import X, body
from onnxsal.errors import ModelError
from onnxsal.model.model import Model


class Lengths:
    """What is known of the numbers of tokens at which a model runs."""

    def __init__(self) -> None:
        self.runs, self.fails = 0, 0

    def most(self, count: int, runs: Callable[[int], bool]) -> int | None:
        """Return how many tokens it takes at most, None where it takes so many. Args: runs: tells of one number."""
        if count <= self.runs:
            return None
        if not self.fails or count < self.fails:
            self._note(runs, count)
        if count <= self.runs:
            return None
        while self.fails - self.runs > 1:
            self._note(runs, (self.fails + self.runs) // 2)
        return self.runs or None  # what does not run at all has another reason, which running it says

    def _note(self, runs: Callable[[int], bool], count: int) -> None:
        if runs(count):
            self.runs = max(self.runs, count)
        else:
            self.fails = count


def runs(model: Model, count: int) -> bool:
    """Return whether a model whose graph takes any length runs with so many tokens."""
    session = model.session(model.program("body", lambda: body(model.anatomy)))
    try:
        session.run({X: np.zeros((1, model.anatomy.entry.channels, count), np.float32)})
    except ModelError:
        return False
    return True
