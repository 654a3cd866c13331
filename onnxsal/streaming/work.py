"""What one run of a record is given, shares and gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.graph import Program
from onnxsal.records import Record
from onnxsal.streaming.device import Runner
from onnxsal.streaming.finish import Finish
from onnxsal.streaming.limits import Limits
from onnxsal.streaming.moments import Accumulator
from onnxsal.streaming.plan import Plan
from onnxsal.streaming.sparing import Sparing

Array = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """What is explained: the picture x [C, H, W], what else the programs take (``target``), the black of x."""

    x: Floats
    feeds: Mapping[str, Array]
    black: Floats
    image: int = 0
    """The image's part of the noise counter."""


@dataclass(frozen=True)
class Settings:
    """How to run: sessions on demand, the name of the picture's input, seed, batch size, limits, who hears of it."""

    session: Callable[[Program], Runner]
    x: str
    seed: int = 0
    batch_size: int = 8
    limits: Limits = field(default_factory=Limits)
    progress: Callable[[int, int], None] | None = None
    shown: Callable[[Floats], Floats] | None = None
    """What is made of the map, where the error of that is wanted too."""
    budget: int | None = None
    """Images that a record inside another one may take: it runs whole within them, or not at all."""


class OverBudgetError(Exception):
    """A record inside another one would take more images than are left; nothing beyond them has been run."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed
        """How many it takes at least."""


@dataclass(frozen=True)
class Streamed:
    """What came of it: the map, its standard error, numbers for the manifest, and what it cost."""

    saliency: Floats
    stderr: Floats | None
    numbers: Mapping[str, float]
    rows: int
    """Images that went through the innermost body."""
    heads: int
    """Images that went through heads, and baselines."""
    samples: int
    """Whole samples of every mask."""
    batch_size: int
    """The last one: smaller than asked for where memory ran out."""
    stopped: str | None = None
    """The limit that ended it, or None where all samples were drawn."""
    partial: bool = False
    """Whether it is less than what was asked for."""
    masks: int = 1
    """How many masks a sample has."""
    shown_stderr: Floats | None = None
    """The standard error of what is made of the map (``Settings.shown``)."""


@dataclass
class Work:
    """What one run shares: made once, then filled batch by batch. Lists have one entry a target."""

    record: Record
    plan: Plan
    subject: Subject
    targets: tuple[Mapping[str, Array], ...]
    settings: Settings
    sums: list[Accumulator]
    finishes: list[Finish]
    heads: int
    batch_size: int
    rows: int = 0
    draws: int = 0
    _fed: dict[int, Mapping[str, Array]] = field(default_factory=dict)

    def feeds(self, rows: int) -> Mapping[str, Array]:
        """Return what all targets feed for a batch of so many rows: the same for every batch."""
        if rows not in self._fed:
            self._fed[rows] = together(self.targets, rows)
        return self._fed[rows]

    @property
    def samples(self) -> int:
        """Whole samples of every mask."""
        return self.draws // self.plan.per_sample

    @property
    def looked_at(self) -> int:
        """What is counted between looks at the error: whole samples, or masks where a stage of them is through."""
        order = self.plan.order
        if not isinstance(order, Sparing):
            return self.samples
        return self.draws // order.each if self.draws == order.known else 0

    @property
    def shows(self) -> bool:
        """Whether what there is makes a map: the steps of a path do as a whole, or mask by mask."""
        order = self.plan.order
        return self.draws >= order.each if isinstance(order, Sparing) else self.draws > 0 and not self.record.draws.path

    @property
    def key(self) -> tuple[int, int]:
        """Seed and image of the noise."""
        return self.settings.seed, self.subject.image

    def relative_error(self) -> float:
        """Return that of the target that is known worst."""
        return max(finish.relative_error() for finish in self.finishes)


def together(targets: Sequence[Mapping[str, Array]], rows: int) -> dict[str, Array]:
    """Return what targets feed, for every row of a batch; several are columns behind it."""
    several = len(targets) > 1
    each = {name: np.stack([own[name] for own in targets], axis=1) if several else v for name, v in targets[0].items()}
    return {name: np.repeat(v, rows, axis=0) for name, v in each.items()}


def apart(found: Mapping[str, Array], targets: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """Return the outputs of every target, of one run that was fed all of them."""
    if len(targets) == 1:
        return [dict(found)]
    return [{name: v[:, i] for name, v in found.items()} for i in range(len(targets))]
