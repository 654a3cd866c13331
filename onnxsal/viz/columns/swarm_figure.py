"""A beeswarm as a figure of matplotlib."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.viz.agg import LETTERS, Axes, Figure, Frame, blank, figure_of, number_below, rgb, say
from onnxsal.viz.axes import Axis, ends_of
from onnxsal.viz.caption import PALE
from onnxsal.viz.colour import colour_table
from onnxsal.viz.columns.attribution import Swarm
from onnxsal.viz.columns.bar_figure import NAMES, name_rows
from onnxsal.viz.text import Line, fit_line

Doubles = NDArray[np.float64]

_ROW = 36
_DOT = 5
"""Pixels across."""
_MOST_ROWS = 2000
_COLOURS, _BRIGHTEST = "plasma", 215
"""A colour map from one thing to another: a diverging one would say that cells have a sign. Its last colours are too
pale for white paper."""
_GREY = (160, 164, 172)
_MIDDLE = (5, 95)
_LEGEND = 26
_BAR = 90
_SIZE = "mean |value|"


def beeswarm(shown: Swarm, *, most: int, width: int, colours: str | None) -> Figure:
    """Return the figure of ``viz.columns.beeswarm.beeswarm``."""
    if not shown.values.size or most < 1:
        raise UsageError(f"a beeswarm needs rows and columns; got {list(shown.values.shape)}, {most} columns at most")
    told = shown.shortened(most)
    own = told.thinned(_MOST_ROWS)
    labels = list(zip(told.names, (f"{size:.4g}" for size in told.importance()), strict=True))
    ends = ends_of(Axis(), [0.0, *own.values.ravel().tolist()])
    left = max(fit_line(name, NAMES, LETTERS).width for name in told.names) + 14
    right = max(fit_line(text, NAMES, LETTERS).width for text in (*(text for _, text in labels), _SIZE)) + 18
    bottom = 24 + _ROW * len(labels)
    axes = blank(Frame(left, 24, width - right, bottom, (width, bottom + round(3.4 * LETTERS) + _LEGEND)))
    number_below(axes, Axis(shown.title), ends, beside=_DOT)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    name_rows(axes, labels)
    axes.plot([0, 0], [-0.5, len(labels) - 0.5], color=rgb(PALE), linewidth=1, linestyle="solid", marker="none")
    table = colour_table(colours or _COLOURS)[: 256 if colours else _BRIGHTEST].astype(np.float64) / 255
    _add_dots(axes, own, ends, table)
    _say_beside(axes, own, table, len(shown.values))
    return figure_of(axes)


def _add_dots(axes: Axes, own: Swarm, ends: tuple[float, float], table: Doubles) -> None:
    across = (axes.bbox.x1 - axes.bbox.x0) / (ends[1] - ends[0])
    for at in range(len(own.names)):
        values = own.values[:, at]
        known = np.isfinite(values)
        places = at + swarmed(values[known] * across / _DOT, _ROW / _DOT) / _ROW * _DOT
        dots = axes.scatter(values[known], places, s=_DOT**2, c=_inks(own.cells[known, at], table), marker="o")
        dots.set(linewidth=0, edgecolor="none", antialiased=True, zorder=2, clip_on=False, alpha=None)


def swarmed(places: Doubles, room: float) -> Doubles:
    """Return how far each dot lies beside its line, so that those at one place are seen apart where there is room.

    Units: dots, of the places along the line as well; ``room`` is what all have across it.
    """
    bins = np.floor(places).astype(np.int64)
    beside = np.zeros(len(places))
    for each in np.unique(bins):
        own = np.flatnonzero(bins == each)
        turns = np.arange(len(own))
        beside[own] = (turns + 1) // 2 * np.where(turns % 2, 1, -1)
    widest = np.abs(beside).max(initial=0.0)
    limit = (room - 1) / 2
    return beside * (limit / widest) if widest > limit else beside


def _inks(cells: Doubles, table: Doubles) -> Doubles:
    """Return a colour for each cell, [n, 3], by where it lies between the column's low and high."""
    found = np.tile(np.asarray(_GREY) / 255, (len(cells), 1))
    known = np.isfinite(cells)
    if known.any():
        low, high = np.percentile(cells[known], _MIDDLE)
        low, high = (low, high) if high > low else (cells[known].min(), cells[known].max())
        share = (cells[known] - low) / (high - low) if high > low else np.full(int(known.sum()), 0.5)
        found[known] = table[np.rint(share.clip(0, 1) * (len(table) - 1)).astype(np.intp)]
    return found


def _say_beside(axes: Axes, own: Swarm, table: Doubles, rows: int) -> None:
    """What the numbers at the right are, what colours mean, and how many rows are drawn."""
    figure, drawn, known = figure_of(axes), len(own.values), np.isfinite(own.cells)
    say(axes, _line(_SIZE), (axes.bbox.x1 + 12, figure.bbox.height - 16), PALE)
    line = _line(f"{drawn:,} of {rows:,} rows" if drawn < rows else f"{rows:,} row{'s' if rows > 1 else ''}")
    say(axes, line, (figure.bbox.width - line.width - 4, 9), PALE)
    x = 4
    if known.any():
        for text, behind in (("cell: low", 8), ("high", 24)):
            say(axes, (line := _line(text)), (x, 9), PALE)
            x += line.width + behind
            if text != "high":
                figure.figimage(np.tile(table[np.linspace(0, len(table) - 1, _BAR).astype(int)], (10, 1, 1)), x, 9)
                x += _BAR + 8
    if not known.all():
        say(axes, _line("grey: text, missing, or several columns"), (x, 9), PALE)


def _line(text: str) -> Line:
    return fit_line(text, NAMES, LETTERS)
