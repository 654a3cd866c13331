"""Where the shapes of a scene go: clear of each other and of the border."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CLEARANCE = 1.12  # shapes keep their radii and a little more apart, so that no outline is lost in another


@dataclass(frozen=True)
class Spot:
    """Where a shape goes: centre and radius as shares of the picture's side, angle in radians."""

    x: float
    y: float
    radius: float
    angle: float


def place(rng: np.random.Generator, count: int) -> list[Spot]:
    """Return ``count`` spots that keep clear of each other and of the border."""
    numbers = _Numbers(rng)
    spots: list[Spot] = []
    while len(spots) < count:  # a jammed layout is thrown away
        spots = _scatter(numbers, count)
    numbers.close()
    return spots


def _scatter(numbers: _Numbers, count: int) -> list[Spot]:
    spots: list[Spot] = []
    widest = min(0.27, 0.55 / count**0.5)
    for radius in [numbers.between(0.12, widest) for _ in range(20 * count)]:
        x, y = numbers.between(radius, 1 - radius), numbers.between(radius, 1 - radius)
        if _is_clear(spots, x, y, radius):
            spots.append(Spot(x, y, radius, numbers.between(0, 2 * np.pi)))
        if len(spots) == count:
            break
    return spots


def _is_clear(spots: list[Spot], x: float, y: float, radius: float) -> bool:
    return all(math.hypot(x - spot.x, y - spot.y) > CLEARANCE * (radius + spot.radius) for spot in spots)


class _Numbers:
    """What ``rng.uniform`` gives one number at a time, drawn in blocks: a layout takes a thousand tries."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._start = rng, rng.bit_generator.state
        self._block: list[float] = []
        self._used = 0

    def between(self, low: float, high: float) -> float:
        """Return a number from low to high."""
        at = self._used % 512
        if at == 0:
            self._block = self._rng.random(512).tolist()
        self._used += 1
        return low + (high - low) * self._block[at]

    def close(self) -> None:
        """Leave the generator as if it had given the numbers that were used, and no more."""
        bits = self._rng.bit_generator
        bits.state = self._start
        bits.advance(self._used)
        half = ("has_uint32", "uinteger")  # what advancing forgets: half a number that is kept for a small one
        bits.state = {**bits.state, **{name: self._start[name] for name in half}}
