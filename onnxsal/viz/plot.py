"""Plots drawn with Pillow: curves with bands, and values with their intervals; no plotting library is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from onnxsal.errors import UsageError
from onnxsal.viz.caption import INK, PALE, PAPER
from onnxsal.viz.colour import Pixels
from onnxsal.viz.text import fit_line

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
_FINE = 3
"""Lines are drawn this many times larger, then reduced: Pillow's own lines have steps."""
_LETTERS = 14
_RULE = (225, 228, 233)
_BAND = 46


@dataclass(frozen=True)
class Curve:
    """A line of points, with a band of the interval round it where ``low`` and ``high`` are given."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    colour: Colour | None = None
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis shows: its title, its ends (None: those of the data), its scale, and where numbers stand."""

    title: str = ""
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    ticks: Sequence[float] | None = None


@dataclass(frozen=True)
class Value:
    """One row of a chart of values: a name, a value, and its interval."""

    label: str
    value: float
    low: float
    high: float
    colour: Colour | None = None


@dataclass(frozen=True)
class _Scale:
    """From numbers to pixels along one axis."""

    ends: tuple[float, float]
    pixels: tuple[float, float]
    log: bool

    def __call__(self, value: float) -> float:
        low, high = (self._at(each) for each in self.ends)
        share = (self._at(value) - low) / (high - low)
        return self.pixels[0] + share * (self.pixels[1] - self.pixels[0])

    def _at(self, value: float) -> float:
        return math.log(value) if self.log else value


def curves(lines: Sequence[Curve], *, x: Axis, y: Axis, title: str = "", size: tuple[int, int] = (520, 340)) -> Pixels:
    """Return a plot of curves, uint8 [h, w, 3]; each is named at its right end, in its own colour.

    Args: size: width and height in pixels, with everything.
    Raises: UsageError: there is no point to draw, or a logarithmic axis has one at 0 or below.
    """
    columns = [v for line in lines for v in line.x]
    rows = [v for line in lines for part in (line.y, line.low or (), line.high or ()) for v in part]
    right = max((fit_line(line.label, 190, _LETTERS).width for line in lines), default=0) + 16
    numbers = ticks_of(y, _ends(y, rows))
    left = max(fit_line(_number(n), 90, _LETTERS).width for n in numbers) + 12
    frame = (left, 2 * _LETTERS + 20, size[0] - right, size[1] - round(3.4 * _LETTERS))
    across = _Scale(_ends(x, columns), (frame[0], frame[2]), x.scale == "log")
    up = _Scale(_ends(y, rows), (frame[3], frame[1]), y.scale == "log")
    canvas = _ruled(size, frame, [up(n) for n in numbers])
    for at, line in enumerate(lines):
        canvas = _drawn(canvas, line, _colour(line, at), (across, up))
    image = canvas.resize(size, Image.Resampling.LANCZOS).convert("RGB")
    draw = ImageDraw.Draw(image)
    _number_axes(draw, frame, (x, across), (y, up))
    _titles(draw, frame, (title, x.title, y.title), size)
    _name_lines(draw, lines, up, frame)
    return np.asarray(image)


def _colour(line: Curve | Value, at: int) -> Colour:
    return line.colour or COLOURS[at % len(COLOURS)]


def _ends(axis: Axis, values: Sequence[float]) -> tuple[float, float]:
    known = [v for v in (*values, *(axis.ticks or ())) if math.isfinite(v)]
    if not known:
        raise UsageError("there is nothing to plot: no value is finite")
    low = min(known) if axis.low is None else axis.low
    high = max(known) if axis.high is None else axis.high
    if axis.scale == "log" and low <= 0:
        raise UsageError(f"a logarithmic axis starts above 0; got {low:g}")
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def ticks_of(axis: Axis, ends: tuple[float, float]) -> list[float]:
    """Return where the numbers of an axis stand: those that it names, else some four to seven round ones."""
    if axis.ticks is not None:
        return list(axis.ticks)
    span = ends[1] - ends[0]
    step = 10 ** math.floor(math.log10(span))
    step = next(step * f for f in (0.1, 0.2, 0.5, 1, 2) if span / (step * f) <= 6)
    first = math.ceil(ends[0] / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(ends[1] / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:g}"


def _ruled(size: tuple[int, int], frame: tuple[int, int, int, int], rules: Sequence[float]) -> Image.Image:
    canvas = Image.new("RGBA", (size[0] * _FINE, size[1] * _FINE), (*PAPER, 255))
    draw = ImageDraw.Draw(canvas)
    for at in rules:
        draw.line([(frame[0] * _FINE, at * _FINE), (frame[2] * _FINE, at * _FINE)], _RULE, _FINE)
    return canvas


def _drawn(canvas: Image.Image, line: Curve, colour: Colour, scales: tuple[_Scale, _Scale]) -> Image.Image:
    layer = Image.new("RGBA", canvas.size, (*colour, 0))
    draw = ImageDraw.Draw(layer)
    if line.low is not None and line.high is not None:
        outline = [*_points(line.x, line.high, scales), *reversed(_points(line.x, line.low, scales))]
        draw.polygon(outline, fill=(*colour, _BAND))
    points = _points(line.x, line.y, scales)
    draw.line(points, fill=(*colour, 255), width=2 * _FINE, joint="curve")
    for px, py in points if line.dots else []:
        draw.ellipse([px - 3.5 * _FINE, py - 3.5 * _FINE, px + 3.5 * _FINE, py + 3.5 * _FINE], (*colour, 255))
    return Image.alpha_composite(canvas, layer)


def _points(x: Sequence[float], y: Sequence[float], scales: tuple[_Scale, _Scale]) -> list[tuple[float, float]]:
    across, up = scales
    both = zip(x, y, strict=True)
    low, high = up.ends
    known = [(a, min(high, max(low, b))) for a, b in both if math.isfinite(a) and math.isfinite(b)]
    return [(across(a) * _FINE, up(b) * _FINE) for a, b in known]


def _number_axes(
    draw: ImageDraw.ImageDraw, frame: tuple[int, int, int, int], x: tuple[Axis, _Scale], y: tuple[Axis, _Scale]
) -> None:
    left, _, right, bottom = frame
    draw.line([(left, bottom), (right, bottom)], PALE, 1)
    for value in ticks_of(x[0], x[1].ends):
        line = fit_line(_number(value), 90, _LETTERS)
        draw.line([(x[1](value), bottom), (x[1](value), bottom + 4)], PALE, 1)
        draw.text((x[1](value), bottom + 8), line.text, PALE, line.font, "ma")
    for value in ticks_of(y[0], y[1].ends):
        line = fit_line(_number(value), 90, _LETTERS)
        draw.text((left - 7, y[1](value)), line.text, PALE, line.font, "rm")


def _titles(
    draw: ImageDraw.ImageDraw, frame: tuple[int, int, int, int], texts: tuple[str, str, str], size: tuple[int, int]
) -> None:
    """The title and, small below it, what the upright axis shows: nobody has to tilt the head."""
    title, across, up = (fit_line(text, size[0] - 8, points) for text, points in zip(texts, (16, 14, 14), strict=True))
    draw.text((0, 15), title.text, INK, title.font, "ls")
    draw.text((0, 33 if texts[0] else 15), up.text, PALE, up.font, "ls")
    draw.text(((frame[0] + frame[2]) / 2, frame[3] + 2.1 * _LETTERS), across.text, PALE, across.font, "ma")


def _name_lines(
    draw: ImageDraw.ImageDraw, lines: Sequence[Curve], up: _Scale, frame: tuple[int, int, int, int]
) -> None:
    """Names at the right ends, pushed apart where they would meet."""
    ends = sorted((up(_last(line)), at) for at, line in enumerate(lines) if line.label)
    places = spread([y for y, _ in ends], _LETTERS + 4, (frame[1], frame[3]))
    for (_, at), y in zip(ends, places, strict=True):
        line = fit_line(lines[at].label, 190, _LETTERS)
        draw.text((frame[2] + 10, y), line.text, _colour(lines[at], at), line.font, "lm")


def _last(line: Curve) -> float:
    return next((v for v in reversed(line.y) if math.isfinite(v)), 0.0)


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


def values(rows: Sequence[Value], *, x: Axis, title: str = "", width: int = 640) -> Pixels:
    """Return a chart of values with their intervals, a row each, uint8 [h, w, 3].

    Raises: UsageError: no value is finite.
    """
    left = max(fit_line(row.label, 260, _LETTERS).width for row in rows) + 14
    right = max(fit_line(_shown(row), 160, _LETTERS).width for row in rows) + 14
    top, step = 40 if title else 8, 2 * _LETTERS
    size = width, top + step * len(rows) + round(3.4 * _LETTERS)
    frame = (left, top, width - right, top + step * len(rows))
    ends = _ends(x, [v for row in rows for v in (row.value, row.low, row.high)])
    across = _Scale(ends, (frame[0] + 6, frame[2] - 6), x.scale == "log")
    canvas = Image.new("RGBA", (size[0] * _FINE, size[1] * _FINE), (*PAPER, 255))
    _mark_rows(ImageDraw.Draw(canvas), rows, across, frame)
    image = canvas.resize(size, Image.Resampling.LANCZOS).convert("RGB")
    _label_rows(ImageDraw.Draw(image), rows, frame, (x, across), title)
    return np.asarray(image)


def _shown(row: Value) -> str:
    return f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"


def _middle(frame: tuple[int, int, int, int], at: int) -> float:
    return frame[1] + (at + 0.5) * 2 * _LETTERS


def _mark_rows(
    draw: ImageDraw.ImageDraw, rows: Sequence[Value], across: _Scale, frame: tuple[int, int, int, int]
) -> None:
    for at, row in enumerate(rows):
        y, colour, r = _middle(frame, at) * _FINE, _colour(row, at), 4.5 * _FINE
        draw.line([(frame[0] * _FINE, y), (frame[2] * _FINE, y)], _RULE, _FINE)
        if not math.isfinite(row.value):
            continue
        draw.line([(across(row.low) * _FINE, y), (across(row.high) * _FINE, y)], colour, 3 * _FINE)
        middle = across(row.value) * _FINE
        draw.ellipse([middle - r, y - r, middle + r, y + r], colour)


def _label_rows(
    draw: ImageDraw.ImageDraw,
    rows: Sequence[Value],
    frame: tuple[int, int, int, int],
    x: tuple[Axis, _Scale],
    title: str,
) -> None:
    heading = fit_line(title, frame[2], 16)
    draw.text((0, 17), heading.text, INK, heading.font, "ls")
    for at, row in enumerate(rows):
        name, number = fit_line(row.label, 260, _LETTERS), fit_line(_shown(row), 160, _LETTERS)
        draw.text((frame[0] - 10, _middle(frame, at)), name.text, INK, name.font, "rm")
        draw.text((frame[2] + 12, _middle(frame, at)), number.text, INK, number.font, "lm")
    for value in ticks_of(x[0], x[1].ends):
        line = fit_line(_number(value), 90, _LETTERS)
        draw.line([(x[1](value), frame[3]), (x[1](value), frame[3] + 4)], PALE, 1)
        draw.text((x[1](value), frame[3] + 8), line.text, PALE, line.font, "ma")
    below = fit_line(x[0].title, frame[2] - frame[0], _LETTERS)
    draw.text(((frame[0] + frame[2]) / 2, frame[3] + 2.1 * _LETTERS), below.text, PALE, below.font, "ma")
