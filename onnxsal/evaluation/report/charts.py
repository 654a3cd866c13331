"""Curves and intervals as drawings inside the page: sharp at every size, in the page's own colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnxsal.evaluation.report.html import Html, element, joined, text, void

_WIDTH, _HEIGHT = 520.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 10.0, 40.0
_COLOURS, _DASHES = 10, 4
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
class _Frame:
    """From numbers to places on the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: float = _HEIGHT
    left: float = _LEFT

    def across(self, value: float) -> float:
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return self.left + share * (_WIDTH - self.left - _RIGHT)

    def down(self, value: float) -> float:
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)


def curves(title: str, series: Sequence[Series], *, x: Axis, y: Axis) -> Html:
    """Return curves with their names below; a click on a name takes its curve away.

    Bands are drawn where a curve has ``low`` and ``high``; where there are many curves, that of the one pointed at.
    """
    frame = _Frame(_ends(x, [v for s in series for v in s.x]), _ends(y, [v for s in series for v in _heights(s)]))
    styled = [(each, _style(each.place if each.place is not None else at)) for at, each in enumerate(series)]
    drawn = joined([*_grid(frame, x, y), *(_curve(frame, each, style) for each, style in styled)])
    names = element("ul", *(_name(each.name, style) for each, style in styled), class_="legend")
    kind = "chart quiet" if len(series) > _BANDS else "chart"
    return element("figure", element("figcaption", title), _svg(drawn, _HEIGHT, title), names, class_=kind)


def _heights(series: Series) -> list[float]:
    return [value for each in (series.y, series.low, series.high) if each is not None for value in each]


def _style(place: int) -> tuple[str, str, str]:
    colour = place % _COLOURS
    return f"s{colour}", f"f{colour}", f"d{place // _COLOURS % _DASHES}"


def _curve(frame: _Frame, series: Series, style: tuple[str, str, str]) -> Html:
    stroke, fill, dash = style
    parts = []
    if series.low is not None and series.high is not None:
        outline = [*zip(series.x, series.high, strict=True), *reversed(list(zip(series.x, series.low, strict=True)))]
        parts.append(void("polygon", class_=f"band {fill}", points=_points(frame, outline)))
    line = _points(frame, list(zip(series.x, series.y, strict=True)))
    parts.append(void("polyline", class_=f"line {stroke} {dash}", points=line))
    return element("g", element("title", series.name), *map(_closed, parts), data_series=series.name)


def _closed(part: Html) -> Html:
    return Html(f"{part[:-1]}/>")


def _points(frame: _Frame, pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{frame.across(a):.1f},{frame.down(b):.1f}" for a, b in pairs if a == a and b == b)


def _name(name: str, style: tuple[str, str, str]) -> Html:
    line = _closed(void("line", x1="0", y1="6", x2="24", y2="6", class_=f"line {style[0]} {style[2]}"))
    sample = element("svg", line, viewBox="0 0 24 12", aria_hidden="true")
    return element("li", element("button", sample, name, type="button", data_name=name, aria_pressed="true"))


def intervals(title: str, rows: Sequence[Interval], *, x: Axis) -> Html:
    """Return values as dots with their intervals as lines, one below the other in the order given."""
    height = _TOP + _BOTTOM + 22.0 * len(rows)
    left = min(276.0, 16.0 + 6.4 * max((len(row.name) for row in rows), default=0))
    ends = _ends(x, [v for row in rows for v in (row.low, row.high, row.value)])
    frame = _Frame(ends, (0.0, float(max(1, len(rows)))), height, left)
    marks = [_mark(frame, row, len(rows) - at - 0.5, at) for at, row in enumerate(rows)]
    drawn = joined([*_across(frame, x), *marks])
    return element("figure", element("figcaption", title), _svg(drawn, height, title), class_="chart")


def _mark(frame: _Frame, row: Interval, level: float, at: int) -> Html:
    stroke, fill, _ = _style(row.place if row.place is not None else at)
    y = f"{frame.down(level):.1f}"
    ends = {"x1": f"{frame.across(row.low):.1f}", "x2": f"{frame.across(row.high):.1f}"}
    line = _closed(void("line", y1=y, y2=y, class_=stroke, stroke_width="2.2", **ends))
    dot = _closed(void("circle", cx=f"{frame.across(row.value):.1f}", cy=y, r="4.2", class_=fill))
    hint = element("title", f"{row.name}: {row.value:.4g} [{row.low:.4g}, {row.high:.4g}]")
    name = element("text", _cut(row.name), x=f"{frame.left - 8:.1f}", y=f"{frame.down(level) + 4:.1f}",
                   text_anchor="end", class_="name")  # fmt: skip
    return element("g", hint, line, dot, name)


def _cut(name: str) -> str:
    return name if len(name) <= 42 else f"{name[:41]}…"


def _svg(drawn: Html, height: float, title: str) -> Html:
    return element("svg", drawn, viewBox=f"0 0 {_WIDTH:g} {height:g}", role="img", aria_label=title)


def _grid(frame: _Frame, x: Axis, y: Axis) -> list[Html]:
    parts = _across(frame, x)
    for tick in _ticks(*frame.y):
        at = f"{frame.down(tick):.1f}"
        ends = {"x1": f"{frame.left:g}", "x2": f"{_WIDTH - _RIGHT:g}"}
        parts.append(_closed(void("line", y1=at, y2=at, class_="axis", **ends)))
        parts.append(element("text", f"{tick:g}", x=f"{frame.left - 6:g}", y=f"{float(at) + 4:.1f}", text_anchor="end"))
    middle = (_TOP + frame.height - _BOTTOM) / 2
    turned = f"rotate(-90 11 {middle:.1f})"
    return [*parts, element("text", y.label, x="11", y=f"{middle:.1f}", text_anchor="middle", transform=turned)]


def _across(frame: _Frame, x: Axis) -> list[Html]:
    bottom = frame.height - _BOTTOM
    parts = []
    for tick in _ticks(*frame.x):
        at = f"{frame.across(tick):.1f}"
        parts.append(_closed(void("line", x1=at, x2=at, y1=f"{_TOP:g}", y2=f"{bottom:g}", class_="axis")))
        parts.append(element("text", f"{tick:g}", x=at, y=f"{bottom + 15:g}", text_anchor="middle"))
    middle = (frame.left + _WIDTH - _RIGHT) / 2
    return [*parts, element("text", text(x.label), x=f"{middle:.1f}", y=f"{frame.height - 6:g}", text_anchor="middle")]


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
