"""Which values of a graph are dense scores, and of what."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onnxsal.tasks.task import Task


@dataclass(frozen=True)
class DenseScores(Task):
    """Logits of every position, [B, C, H, W] or with the class last, and what makes probabilities of them.

    Of volumes there are three axes of positions.
    """

    probability: str | None
    activation: str
    axis: int
    """Of the classes."""
    classes: int
    grid: tuple[int, ...]
    exclusive: bool = True
    """Whether a position belongs to the class that is highest there, or to all that are surer than not."""
    proof: str = ""
    """What in the graph proves it; empty where a user says so."""

    @property
    def positions(self) -> int:
        """Of one class."""
        return math.prod(self.grid)
