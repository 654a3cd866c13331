"""Curves and intervals as drawings inside the page: sharp at every size, in the page's own colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

_WIDTH, _HEIGHT = 520.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 10.0, 40.0
_COLOURS, _DASHES = 10, 4
_NAME = 42
"""Letters of a name beside its interval."""

_BANDS = 5
"""Curves whose bands are all shown; of more a band is shown when its name is pointed at."""


@dataclass(frozen=True)
class Series:
    """One curve: x and y of equal length, and the band of an interval round it where it has one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    place: int | None = None
    """Which colour it has; by default its place among the curves. Give it to keep a colour from chart to chart."""


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval."""

    name: str
    value: float
    low: float
    high: float
    place: int | None = None


@dataclass(frozen=True)
class Axis:
    """What an axis shows; ends that are None are those of the data."""

    label: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Frame:
    """From numbers to places on the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: float = _HEIGHT
    left: float = _LEFT
    width: float = _WIDTH
    right: float = _WIDTH - _RIGHT
    top: float = _TOP

    @property
    def bottom(self) -> float:
        """Where the drawing ends and the numbers below it begin."""
        return self.height - _BOTTOM

    @property
    def middle(self) -> tuple[float, float]:
        """The places of the names of the axes, along each."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def across(self, value: float) -> float:
        """Return where a number stands from left to right."""
        return self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - self.left)

    def down(self, value: float) -> float:
        """Return where a number stands from top to bottom."""
        return self.bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.bottom - self.top)

    def points(self, pairs: Sequence[tuple[float, float]]) -> str:
        """Return the places of pairs of numbers as SVG has them; those with a NaN are left out."""
        return " ".join(f"{self.across(a):.1f},{self.down(b):.1f}" for a, b in pairs if a == a and b == b)


@dataclass(frozen=True)
class Style:
    """The classes of a colour as line and as area, and of a dash."""

    stroke: str
    fill: str
    dash: str


@dataclass(frozen=True)
class Tick:
    """A number on an axis, and where it stands."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """An axis with its numbers."""

    label: str
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Curve:
    """One curve as a line, and its band as an outline."""

    name: str
    style: Style
    line: str
    band: str | None


@dataclass(frozen=True)
class Mark:
    """An interval as a dot on a line, and what is said of it when it is pointed at."""

    name: str
    hint: str
    style: Style
    y: float
    low: float
    value: float
    high: float


@dataclass(frozen=True)
class Chart:
    """What ``templates/charts.html.j2`` draws: places, no numbers; ``y`` is None where rows take its place."""

    title: str
    frame: Frame
    x: Scale
    y: Scale | None = None
    curves: tuple[Curve, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def is_quiet(self) -> bool:
        """Whether a band is shown only when its name is pointed at."""
        return len(self.curves) > _BANDS


def curves(title: str, series: Sequence[Series], *, x: Axis, y: Axis) -> Chart:
    """Return curves with their names below; a click on a name takes its curve away.

    Bands are drawn where a curve has ``low`` and ``high``; where there are many curves, that of the one pointed at.
    """
    frame = Frame(_ends(x, [v for s in series for v in s.x]), _ends(y, [v for s in series for v in _heights(s)]))
    drawn = tuple(_curve(frame, each, _style(each.place, at)) for at, each in enumerate(series))
    return Chart(title, frame, _across(frame, x), _down(frame, y), curves=drawn)


def _heights(series: Series) -> list[float]:
    return [value for each in (series.y, series.low, series.high) if each is not None for value in each]


def _style(place: int | None, at: int) -> Style:
    chosen = at if place is None else place
    colour = chosen % _COLOURS
    return Style(f"s{colour}", f"f{colour}", f"d{chosen // _COLOURS % _DASHES}")


def _curve(frame: Frame, series: Series, style: Style) -> Curve:
    line = frame.points(list(zip(series.x, series.y, strict=True)))
    if series.low is None or series.high is None:
        return Curve(series.name, style, line, None)
    outline = [*zip(series.x, series.high, strict=True), *reversed(list(zip(series.x, series.low, strict=True)))]
    return Curve(series.name, style, line, frame.points(outline))


def intervals(title: str, rows: Sequence[Interval], *, x: Axis) -> Chart:
    """Return values as dots with their intervals as lines, one below the other in the order given."""
    height = _TOP + _BOTTOM + 22.0 * len(rows)
    left = min(276.0, 16.0 + 6.4 * max((_columns(row.name) for row in rows), default=0))
    ends = _ends(x, [v for row in rows for v in (row.low, row.high, row.value)])
    frame = Frame(ends, (0.0, float(max(1, len(rows)))), height, left)
    marks = tuple(_mark(frame, row, len(rows) - at - 0.5, at) for at, row in enumerate(rows))
    return Chart(title, frame, _across(frame, x), marks=marks)


def _mark(frame: Frame, row: Interval, level: float, at: int) -> Mark:
    hint = f"{row.name}: {row.value:.4g} [{row.low:.4g}, {row.high:.4g}]"
    low, value, high = map(frame.across, (row.low, row.value, row.high))
    return Mark(_cut(row.name), hint, _style(row.place, at), frame.down(level), low, value, high)


def _cut(name: str) -> str:
    """A name as far as there is room for it."""
    if _columns(name) <= _NAME:
        return name
    kept = next(at for at in range(len(name), -1, -1) if _columns(name[:at]) < _NAME)
    return f"{name[:kept]}…"


def _columns(name: str) -> int:
    """How wide a name is in letters: what is Korean, Japanese or Chinese counts two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in name)


def _across(frame: Frame, axis: Axis) -> Scale:
    return Scale(axis.label, tuple(Tick(frame.across(tick), f"{tick:g}") for tick in _ticks(*frame.x)))


def _down(frame: Frame, axis: Axis) -> Scale:
    return Scale(axis.label, tuple(Tick(round(frame.down(tick), 1), f"{tick:g}") for tick in _ticks(*frame.y)))


def _ends(axis: Axis, values: Sequence[float]) -> tuple[float, float]:
    known = [v for v in values if v == v]
    low = axis.low if axis.low is not None else min(known, default=0.0)
    high = axis.high if axis.high is not None else max(known, default=1.0)
    margin = 0.04 * (high - low) if high > low else 0.5
    return (
        low if axis.low is not None else low - margin,
        high if axis.high is not None and high > low else high + margin,
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between the ends, five or so."""
    rough = (high - low) / 5
    power = 10.0 ** _exponent(rough)
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= rough * 0.999)
    first = -(-low // step)
    count = int((high - first * step) / step + 1e-9) + 1
    return [round((first + at) * step, 12) + 0.0 for at in range(max(0, count))]


def _exponent(value: float) -> int:
    return int(f"{value:e}".split("e")[1])
