"""One detection: as it is told of, and as a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.tasks.detection.box import Sides, told
from onnxsal.tasks.detection.found import Detected
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Prediction


@dataclass(frozen=True)
class BoxPrediction(Prediction):
    """A detection: its class, its score, its number and its box."""

    number: int = 0
    """By which ``#k`` names it, best first."""
    box: Sides = (0.0, 0.0, 0.0, 0.0)
    """Left, top, right, bottom. Units: pixels of the photograph, of an array those of the input."""

    @property
    def told(self) -> str:
        """The target that it is, and where it lies."""
        return f"#{self.number} {self.label} ({self.index}) at {told(self.box)}"


@dataclass(frozen=True)
class Instance(Target):
    """A target that is a candidate of a picture."""

    detected: Detected | None = field(default=None, compare=False)
    aim: Sides | None = field(default=None, compare=False)
    """The box that it is matched with, in pixels of the model's picture."""

    @property
    def held(self) -> Mapping[str, NDArray[Any]]:
        """The box that a candidate is looked for at, in pixels of the model's picture."""
        return {} if self.aim is None else {"box": np.array([self.aim], np.float32)}
