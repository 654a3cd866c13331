"""A resolved target: which of a model's numbers make the score, and with which coefficients they are added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import COEFFICIENTS, TARGET, Score

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """A resolved target: what it is called, and what the programs are fed."""

    target: int | tuple[int, int] | str | None
    """As a manifest tells it: a class, a pair (a, b) of which it is a minus b, the text of an element or a reference,
    None for a program."""
    label: str
    program: Score | None = None
    """What somebody wrote in place of a class."""
    indices: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), compare=False)
    """The terms of its sum, int64 [M]: columns of what the program that predicts puts out."""
    coefficients: Floats = field(default_factory=lambda: np.zeros(0, np.float32), compare=False)
    """What each is multiplied with, float32 [M]."""
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What else makes it again, as plain data under names of its own, such as the region."""
    kind: str | None = None
    """The kind of numbers that its columns are of; None: that which is asked for."""
    fed: Mapping[str, NDArray[Any]] = field(default_factory=dict, compare=False)
    """What its score is fed beside, one image: a box [1, 4]."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What is to be told of it."""

    @property
    def held(self) -> Mapping[str, NDArray[Any]]:
        """What a compiled file holds of it beside its class, one row, by the names of ``Task.as_inputs``."""
        return {}

    @property
    def is_open(self) -> bool:
        """Whether its columns depend on the picture and none has been seen yet."""
        return self.program is None and not len(self.indices)

    @property
    def weighted(self) -> bool:
        """Whether its coefficients count: one column alone is taken as it is."""
        return len(self.indices) != 1 or float(self.coefficients[0]) != 1.0

    @property
    def feeds(self) -> Mapping[str, NDArray[Any]]:
        """The inputs of a score program, one image: the class [1], or columns and coefficients, [1, M] each."""
        if self.program is not None:
            return {}
        if not self.weighted:
            return {TARGET: self.indices, **self.fed}
        return {TARGET: self.indices[None], COEFFICIENTS: self.coefficients[None]}

    def value(self, scores: Floats) -> float:
        """Return the target's value among numbers [N], such as the classes' scores; NaN for a program."""
        return float("nan") if self.program is not None else float(self.values(scores[None])[0])

    def values(self, scores: Floats) -> Floats:
        """Return the target's values among numbers [B, N]."""
        if not self.weighted:
            return scores[:, self.indices[0]]
        total: Floats = (scores[:, self.indices] * self.coefficients).sum(axis=1, dtype=np.float32)
        return total


def one(index: int, label: str) -> Target:
    """Return the target that is one column."""
    return Target(index, label, None, np.array([index], np.int64), np.ones(1, np.float32))


def difference(pair: tuple[int, int], labels: Sequence[str]) -> Target:
    """Return the target that is one column minus another."""
    indices, signs = np.array(pair, np.int64), np.array([1, -1], np.float32)
    return Target(pair, f"{labels[0]} minus {labels[1]}", None, indices, signs)
