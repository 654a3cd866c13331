"""What a plot is given, curves, values and axes, and where on an axis things stand: no library of plots is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from onnxsal.errors import UsageError

Colour = tuple[int, int, int]

# Okabe and Ito's colours, which colour-blind readers tell apart, in an order that keeps neighbours far apart.
COLOURS: tuple[Colour, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (230, 159, 0),
    (90, 90, 90),
)


@dataclass(frozen=True)
class Axis:
    """What an axis shows: its title, its ends (None: those of the data), its scale, and where numbers stand."""

    title: str = ""
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    ticks: Sequence[float] | None = None


@dataclass(frozen=True)
class Curve:
    """A line of points, with a band of the interval round it where ``low`` and ``high`` are given.

    NaN leaves a gap; a point without neighbours has a dot in any case.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    colour: Colour | None = None
    dots: bool = False


@dataclass(frozen=True)
class Value:
    """One row of a chart of values: a name, a value, and its interval."""

    label: str
    value: float
    low: float
    high: float
    colour: Colour | None = None


def colour_at(given: Colour | None, at: int) -> Colour:
    """Return a colour of one's own, or else that of a place."""
    return given or COLOURS[at % len(COLOURS)]


def ends_of(axis: Axis, values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis, those of the values where it names none. Raises: UsageError: nothing is finite."""
    known = [v for v in (*values, *(axis.ticks or ())) if math.isfinite(v)]
    if not known:
        raise UsageError("there is nothing to plot: no value is finite")
    low = min(known) if axis.low is None else axis.low
    high = max(known) if axis.high is None else axis.high
    if axis.scale == "log" and low <= 0:
        raise UsageError(f"a logarithmic axis starts above 0; got {low:g}")
    if high > low:
        return low, high
    return low - 0.5, high if axis.high is not None else high + 0.5


def ticks_of(axis: Axis, ends: tuple[float, float]) -> list[float]:
    """Return where the numbers of an axis stand: those that it names, else some four to seven round ones.

    matplotlib's own locators ask the settings of whoever runs this (``axes.autolimit_mode``), so they would not do.
    """
    if axis.ticks is not None:
        return list(axis.ticks)
    span = ends[1] - ends[0]
    step = 10 ** math.floor(math.log10(span))
    step = next(step * f for f in (0.1, 0.2, 0.5, 1, 2) if span / (step * f) <= 6)
    first = math.ceil(ends[0] / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, math.floor(ends[1] / step + 1e-9) + 1)]


def spread(places: Sequence[float], least: float, ends: tuple[float, float]) -> list[float]:
    """Return ascending places moved as little as needed to lie ``least`` apart, inside ``ends`` where they fit."""
    moved = list(places)
    for at in range(1, len(moved)):
        moved[at] = max(moved[at], moved[at - 1] + least)
    if moved and moved[-1] > ends[1]:
        moved[-1] = ends[1]
        for at in range(len(moved) - 2, -1, -1):
            moved[at] = min(moved[at], moved[at + 1] - least)
    return moved
