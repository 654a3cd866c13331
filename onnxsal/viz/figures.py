"""The two plots as figures of matplotlib: curves with bands, values with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.viz.agg import (
    HALF,
    LETTERS,
    TITLE,
    Axes,
    Figure,
    Frame,
    blank,
    figure_of,
    letters,
    number,
    number_below,
    rgb,
    rule,
    say,
)
from onnxsal.viz.axes import Axis, Colour, Curve, Value, colour_at, ends_of, spread, ticks_of
from onnxsal.viz.caption import INK, PALE
from onnxsal.viz.text import fit_line

_BAND = 46 / 255


def curves(lines: Sequence[Curve], *, x: Axis, y: Axis, title: str, size: tuple[int, int]) -> Figure:
    """Return the figure of ``viz.plot.curves``."""
    rows = [v for line in lines for part in (line.y, line.low or (), line.high or ()) for v in part]
    across, up = ends_of(x, [v for line in lines for v in line.x]), ends_of(y, rows)
    left = max(fit_line(f"{n:g}", 90, LETTERS).width for n in ticks_of(y, up)) + 12
    right = max((fit_line(line.label, 190, LETTERS).width for line in lines), default=0) + 16
    axes = blank(Frame(left, 2 * LETTERS + 20, size[0] - right, size[1] - round(3.4 * LETTERS), size))
    number_below(axes, x, across)
    axes.spines["bottom"].set_visible(True)
    _number_left(axes, y, up)
    for at, line in enumerate(lines):
        _add_curve(axes, line, colour_at(line.colour, at), up)
    _title(axes, title, y.title)
    _name_lines(axes, lines)
    return figure_of(axes)


def values(rows: Sequence[Value], *, x: Axis, title: str, width: int) -> Figure:
    """Return the figure of ``viz.plot.values``."""
    ends = ends_of(x, [v for row in rows for v in (row.value, row.low, row.high)])
    left = max(fit_line(row.label, 260, LETTERS).width for row in rows) + 14
    right = max(fit_line(_shown(row), 160, LETTERS).width for row in rows) + 14
    top = 40 if title else 8
    bottom = top + 2 * LETTERS * len(rows)
    axes = blank(Frame(left, top, width - right, bottom, (width, bottom + round(3.4 * LETTERS))))
    number_below(axes, x, ends, beside=6)
    _name_rows(axes, rows)
    for at, row in enumerate(rows):
        _add_value(axes, row, colour_at(row.colour, at), at)
    _title(axes, title, "")
    return figure_of(axes)


def _number_left(axes: Axes, axis: Axis, ends: tuple[float, float]) -> None:
    """The scale from below, with a pale line through the plot at every number."""
    axes.set_yscale(axis.scale)
    axes.set_ylim(ends)
    number(axes.yaxis, axis, ends)
    rule(axes, pad=7)


def _name_rows(axes: Axes, rows: Sequence[Value]) -> None:
    """Names at the left, values in numbers at the right, a pale line between them."""
    axes.set_ylim(len(rows) - 0.5, -0.5)
    names = [fit_line(row.label, 260, LETTERS) for row in rows]
    axes.set_yticks(range(len(rows)), [name.text for name in names], **letters(LETTERS, INK))
    rule(axes, pad=10)
    for at, (label, name) in enumerate(zip(axes.get_yticklabels(), names, strict=True)):
        label.set_fontsize(name.font.size)
        height = axes.transData.transform((1, at))[1]
        say(axes, fit_line(_shown(rows[at]), 160, LETTERS), (axes.bbox.x1 + 12, height - HALF), INK)


def _shown(row: Value) -> str:
    if not math.isfinite(row.value):
        return "-"
    return f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"


def _title(axes: Axes, title: str, upright: str) -> None:
    """The title and, small below it, what the upright axis shows: nobody has to tilt the head."""
    box = figure_of(axes).bbox
    for text, size, colour, lower in ((title, TITLE, INK, 15), (upright, LETTERS, PALE, 33 if title else 15)):
        say(axes, fit_line(text, box.width - 8, size), (0, box.height - lower), colour)


def _add_curve(axes: Axes, line: Curve, colour: Colour, ends: tuple[float, float]) -> None:
    """The line stays whole at the frame's edges: what lies beyond the ends is drawn at them."""
    if line.low is not None and line.high is not None:
        low, high = (_within(side, ends) for side in (line.low, line.high))
        band = axes.fill_between(line.x, low, high, color=rgb(colour), alpha=_BAND, linewidth=0, zorder=1)
        band.set(snap=False, clip_on=False, antialiased=True)
    y = _within(line.y, ends)
    dots = list(range(len(y)) if line.dots else _alone(y))
    axes.plot(line.x, y, label=line.label, marker="o", markersize=7, markevery=dots, zorder=2, **_inked(colour, 2))


def _within(values: Sequence[float], ends: tuple[float, float]) -> NDArray[np.float64]:
    exact = np.asarray(values, np.float64)
    return np.where(np.isfinite(exact), np.clip(exact, *ends), np.nan)


def _add_value(axes: Axes, row: Value, colour: Colour, at: int) -> None:
    if math.isfinite(row.value):
        axes.plot([row.low, row.high], [at, at], marker="none", zorder=2, **_inked(colour, 3))
        axes.plot([row.value], [at], marker="o", markersize=9, zorder=3, label=row.label, **_inked(colour, 0))


def _inked(colour: Colour, width: int) -> dict[str, Any]:
    return {
        "color": rgb(colour), "markerfacecolor": rgb(colour), "markeredgewidth": 0, "linestyle": "solid",
        "linewidth": width, "clip_on": False,
    }  # fmt: skip


def _alone(values: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """Return where a number has no number beside it, so that no line would show it."""
    known = np.pad(np.isfinite(np.asarray(values, np.float64)), 1)
    return [int(at) for at in np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])]


def _name_lines(axes: Axes, lines: Sequence[Curve]) -> None:
    """Names at the right ends of their lines, pushed apart where they would meet."""
    frame, height = axes.bbox, figure_of(axes).bbox.height
    ends = sorted((height - _last(axes, line), at) for at, line in enumerate(lines) if line.label)
    places = spread([y for y, _ in ends], LETTERS + 4, (height - frame.y1, height - frame.y0))
    for (_, at), y in zip(ends, places, strict=True):
        line = fit_line(lines[at].label, 190, LETTERS)
        colour = colour_at(lines[at].colour, at)
        say(axes, line, (frame.x1 + 10, height - y - HALF), colour)


def _last(axes: Axes, line: Curve) -> float:
    """The height of a line's right end in pixels."""
    known = [v for v in line.y if math.isfinite(v)] or [axes.get_ylim()[0]]
    return float(axes.transData.transform((axes.get_xlim()[1], np.clip(known[-1], *axes.get_ylim())))[1])
