"""Curves with bands, drawn with Pillow: no plotting library is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from onnxsal.viz.axes import FINE, LETTERS, RULE, Axis, Colour, Scale, colour_at, ends_of, shown_number, ticks_of
from onnxsal.viz.caption import INK, PALE, PAPER
from onnxsal.viz.colour import Pixels
from onnxsal.viz.text import fit_line

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


def curves(lines: Sequence[Curve], *, x: Axis, y: Axis, title: str = "", size: tuple[int, int] = (520, 340)) -> Pixels:
    """Return a plot of curves, uint8 [h, w, 3]; each is named at its right end, in its own colour.

    Args: size: width and height in pixels, with everything.
    Raises: UsageError: there is no point to draw, or a logarithmic axis has one at 0 or below.
    """
    columns = [v for line in lines for v in line.x]
    rows = [v for line in lines for part in (line.y, line.low or (), line.high or ()) for v in part]
    right = max((fit_line(line.label, 190, LETTERS).width for line in lines), default=0) + 16
    numbers = ticks_of(y, ends_of(y, rows))
    left = max(fit_line(shown_number(n), 90, LETTERS).width for n in numbers) + 12
    frame = (left, 2 * LETTERS + 20, size[0] - right, size[1] - round(3.4 * LETTERS))
    across = Scale(ends_of(x, columns), (frame[0], frame[2]), x.scale == "log")
    up = Scale(ends_of(y, rows), (frame[3], frame[1]), y.scale == "log")
    canvas = _ruled(size, frame, [up(n) for n in numbers])
    for at, line in enumerate(lines):
        canvas = _drawn(canvas, line, colour_at(line.colour, at), (across, up))
    image = canvas.resize(size, Image.Resampling.LANCZOS).convert("RGB")
    draw = ImageDraw.Draw(image)
    _number_axes(draw, frame, (x, across), (y, up))
    _titles(draw, frame, (title, x.title, y.title), size)
    _name_lines(draw, lines, up, frame)
    return np.asarray(image)


def _ruled(size: tuple[int, int], frame: tuple[int, int, int, int], rules: Sequence[float]) -> Image.Image:
    canvas = Image.new("RGBA", (size[0] * FINE, size[1] * FINE), (*PAPER, 255))
    draw = ImageDraw.Draw(canvas)
    for at in rules:
        draw.line([(frame[0] * FINE, at * FINE), (frame[2] * FINE, at * FINE)], RULE, FINE)
    return canvas


def _drawn(canvas: Image.Image, line: Curve, colour: Colour, scales: tuple[Scale, Scale]) -> Image.Image:
    layer = Image.new("RGBA", canvas.size, (*colour, 0))
    draw = ImageDraw.Draw(layer)
    if line.low is not None and line.high is not None:
        outline = [*_points(line.x, line.high, scales), *reversed(_points(line.x, line.low, scales))]
        draw.polygon(outline, fill=(*colour, _BAND))
    points = _points(line.x, line.y, scales)
    draw.line(points, fill=(*colour, 255), width=2 * FINE, joint="curve")
    for px, py in points if line.dots else []:
        draw.ellipse([px - 3.5 * FINE, py - 3.5 * FINE, px + 3.5 * FINE, py + 3.5 * FINE], (*colour, 255))
    return Image.alpha_composite(canvas, layer)


def _points(x: Sequence[float], y: Sequence[float], scales: tuple[Scale, Scale]) -> list[tuple[float, float]]:
    across, up = scales
    both = zip(x, y, strict=True)
    low, high = up.ends
    known = [(a, min(high, max(low, b))) for a, b in both if math.isfinite(a) and math.isfinite(b)]
    return [(across(a) * FINE, up(b) * FINE) for a, b in known]


def _number_axes(
    draw: ImageDraw.ImageDraw, frame: tuple[int, int, int, int], x: tuple[Axis, Scale], y: tuple[Axis, Scale]
) -> None:
    left, _, right, bottom = frame
    draw.line([(left, bottom), (right, bottom)], PALE, 1)
    for value in ticks_of(x[0], x[1].ends):
        line = fit_line(shown_number(value), 90, LETTERS)
        draw.line([(x[1](value), bottom), (x[1](value), bottom + 4)], PALE, 1)
        draw.text((x[1](value), bottom + 8), line.text, PALE, line.font, "ma")
    for value in ticks_of(y[0], y[1].ends):
        line = fit_line(shown_number(value), 90, LETTERS)
        draw.text((left - 7, y[1](value)), line.text, PALE, line.font, "rm")


def _titles(
    draw: ImageDraw.ImageDraw, frame: tuple[int, int, int, int], texts: tuple[str, str, str], size: tuple[int, int]
) -> None:
    """The title and, small below it, what the upright axis shows: nobody has to tilt the head."""
    title, across, up = (fit_line(text, size[0] - 8, points) for text, points in zip(texts, (16, 14, 14), strict=True))
    draw.text((0, 15), title.text, INK, title.font, "ls")
    draw.text((0, 33 if texts[0] else 15), up.text, PALE, up.font, "ls")
    draw.text(((frame[0] + frame[2]) / 2, frame[3] + 2.1 * LETTERS), across.text, PALE, across.font, "ma")


def _name_lines(draw: ImageDraw.ImageDraw, lines: Sequence[Curve], up: Scale, frame: tuple[int, int, int, int]) -> None:
    """Names at the right ends, pushed apart where they would meet."""
    ends = sorted((up(_last(line)), at) for at, line in enumerate(lines) if line.label)
    places = spread([y for y, _ in ends], LETTERS + 4, (frame[1], frame[3]))
    for (_, at), y in zip(ends, places, strict=True):
        line = fit_line(lines[at].label, 190, LETTERS)
        draw.text((frame[2] + 10, y), line.text, colour_at(lines[at].colour, at), line.font, "lm")


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
