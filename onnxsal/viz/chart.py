"""Values with their intervals, a row each, drawn with Pillow."""

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


@dataclass(frozen=True)
class Value:
    """One row of a chart of values: a name, a value, and its interval."""

    label: str
    value: float
    low: float
    high: float
    colour: Colour | None = None


def values(rows: Sequence[Value], *, x: Axis, title: str = "", width: int = 640) -> Pixels:
    """Return a chart of values with their intervals, a row each, uint8 [h, w, 3].

    Raises: UsageError: no value is finite.
    """
    left = max(fit_line(row.label, 260, LETTERS).width for row in rows) + 14
    right = max(fit_line(_shown(row), 160, LETTERS).width for row in rows) + 14
    top, step = 40 if title else 8, 2 * LETTERS
    size = width, top + step * len(rows) + round(3.4 * LETTERS)
    frame = (left, top, width - right, top + step * len(rows))
    ends = ends_of(x, [v for row in rows for v in (row.value, row.low, row.high)])
    across = Scale(ends, (frame[0] + 6, frame[2] - 6), x.scale == "log")
    canvas = Image.new("RGBA", (size[0] * FINE, size[1] * FINE), (*PAPER, 255))
    _mark_rows(ImageDraw.Draw(canvas), rows, across, frame)
    image = canvas.resize(size, Image.Resampling.LANCZOS).convert("RGB")
    _label_rows(ImageDraw.Draw(image), rows, frame, (x, across), title)
    return np.asarray(image)


def _shown(row: Value) -> str:
    if not math.isfinite(row.value):
        return "-"
    return f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"


def _middle(frame: tuple[int, int, int, int], at: int) -> float:
    return frame[1] + (at + 0.5) * 2 * LETTERS


def _mark_rows(
    draw: ImageDraw.ImageDraw, rows: Sequence[Value], across: Scale, frame: tuple[int, int, int, int]
) -> None:
    for at, row in enumerate(rows):
        y, colour, r = _middle(frame, at) * FINE, colour_at(row.colour, at), 4.5 * FINE
        draw.line([(frame[0] * FINE, y), (frame[2] * FINE, y)], RULE, FINE)
        if not math.isfinite(row.value):
            continue
        draw.line([(across(row.low) * FINE, y), (across(row.high) * FINE, y)], colour, 3 * FINE)
        middle = across(row.value) * FINE
        draw.ellipse([middle - r, y - r, middle + r, y + r], colour)


def _label_rows(
    draw: ImageDraw.ImageDraw,
    rows: Sequence[Value],
    frame: tuple[int, int, int, int],
    x: tuple[Axis, Scale],
    title: str,
) -> None:
    heading = fit_line(title, frame[2], 16)
    draw.text((0, 17), heading.text, INK, heading.font, "ls")
    for at, row in enumerate(rows):
        name, number = fit_line(row.label, 260, LETTERS), fit_line(_shown(row), 160, LETTERS)
        draw.text((frame[0] - 10, _middle(frame, at)), name.text, INK, name.font, "rm")
        draw.text((frame[2] + 12, _middle(frame, at)), number.text, INK, number.font, "lm")
    for value in ticks_of(x[0], x[1].ends):
        line = fit_line(shown_number(value), 90, LETTERS)
        draw.line([(x[1](value), frame[3]), (x[1](value), frame[3] + 4)], PALE, 1)
        draw.text((x[1](value), frame[3] + 8), line.text, PALE, line.font, "ma")
    below = fit_line(x[0].title, frame[2] - frame[0], LETTERS)
    draw.text(((frame[0] + frame[2]) / 2, frame[3] + 2.1 * LETTERS), below.text, PALE, below.font, "ma")
