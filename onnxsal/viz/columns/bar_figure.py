"""Bars of a row as a figure of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from onnxsal.errors import UsageError
from onnxsal.viz.agg import (
    HALF,
    LETTERS,
    Axes,
    Figure,
    Frame,
    blank,
    figure_of,
    letters,
    number_below,
    rgb,
    rule,
    say,
)
from onnxsal.viz.axes import Axis, Colour, ends_of
from onnxsal.viz.caption import INK, PALE
from onnxsal.viz.columns.attribution import Attribution, Part, label_of
from onnxsal.viz.columns.shades import sides
from onnxsal.viz.text import fit_line

_ROW = 2 * LETTERS
NAMES, _NUMBERS = 320, 170
"""The most pixels that names and numbers take beside the bars."""
_THICK = 0.62
_SMALLEST = 1e-5
"""The least share of the ends of an axis that its span is: below it, its numbers would all look alike."""


class _Bar(NamedTuple):
    """A row of the plot: its label, what stands beside it, and where its bar begins and ends."""

    label: str
    shown: str
    start: float
    end: float
    error: float = 0.0
    is_end: bool = False
    """Whether it is the base value or the score, which are places and no bars."""


def bars(shown: Attribution, *, most: int, width: int, colours: str | None) -> Figure:
    """Return the figure of ``viz.columns.bars.bars``."""
    if not shown.parts or most < 1:
        raise UsageError(f"bars need at least one column, and place for one; got {len(shown.parts)}, {most}")
    rows = _rows(shown, most)
    ends = _wider(ends_of(Axis(), [v for row in rows for v in _extent(row)]))
    left = max(fit_line(row.label, NAMES, LETTERS).width for row in rows) + 14
    right = max(fit_line(row.shown, _NUMBERS, LETTERS).width for row in rows) + 18
    bottom = 8 + _ROW * len(rows)
    axes = blank(Frame(left, 8, width - right, bottom, (width, bottom + round(3.4 * LETTERS))))
    number_below(axes, Axis(shown.title), ends)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    name_rows(axes, [(row.label, row.shown) for row in rows])
    lower, higher = sides(colours)
    for at, row in enumerate(rows):
        _add(axes, row, at, higher if row.end >= row.start else lower)
    _join(axes, rows)
    return figure_of(axes)


def _rows(shown: Attribution, most: int) -> list[_Bar]:
    parts, leads, texts = shown.shortened(most), _leads(shown), dict(shown.ends)
    at = shown.base if leads and shown.base is not None else 0.0
    rows = list[_Bar]()
    if "base value" in texts:
        rows.append(_Bar("base value", texts["base value"], at, at, is_end=True))
    for part in reversed(parts):
        rows.append(_bar(part, at))
        at = rows[-1].end if leads else 0.0
    if "score" in texts:
        at = shown.score if leads and shown.score is not None else at  # its own place, should the parts not add up
        rows.append(_Bar("score", texts["score"], at, at, is_end=True))
    return rows[::-1]


def _leads(shown: Attribution) -> bool:
    """Whether each bar begins where the next ends: from a base value to a score, and large enough beside them."""
    if shown.base is None or shown.score is None or not all(math.isfinite(part.value) for part in shown.parts):
        return False
    span = max(abs(part.value) for part in shown.parts)
    return span >= _SMALLEST * max(abs(shown.base), abs(shown.score)) or span == 0


def _bar(part: Part, start: float) -> _Bar:
    value = part.value if math.isfinite(part.value) else 0.0
    return _Bar(label_of(part, NAMES, LETTERS), part.shown, start, start + value, part.error or 0.0)


def _extent(row: _Bar) -> tuple[float, ...]:
    return (row.start, row.end - row.error, row.end, row.end + row.error)


def _wider(ends: tuple[float, float]) -> tuple[float, float]:
    more = 0.02 * (ends[1] - ends[0])
    return ends[0] - more, ends[1] + more


def name_rows(axes: Axes, rows: Sequence[tuple[str, str]]) -> None:
    """Put a label at the left of each row and text at its right, with a pale line between them."""
    names = [fit_line(label, NAMES, LETTERS) for label, _ in rows]
    axes.set_yticks(range(len(rows)), [name.text for name in names], **letters(LETTERS, INK))
    rule(axes, pad=10)
    for at, (tick, name) in enumerate(zip(axes.get_yticklabels(), names, strict=True)):
        tick.set_fontsize(name.font.size)
        height = axes.transData.transform((axes.get_xlim()[0], at))[1]
        say(axes, fit_line(rows[at][1], _NUMBERS, LETTERS), (axes.bbox.x1 + 12, height - HALF), INK)


def _add(axes: Axes, row: _Bar, at: int, colour: Colour) -> None:
    if row.is_end:
        axes.plot([row.end, row.end], [at - _THICK / 2, at + _THICK / 2], **_ink(INK, 2))
        return
    (bar,) = axes.barh([at], [row.end - row.start], _THICK, left=[row.start], color=[rgb(colour)], linewidth=0)
    bar.set(edgecolor="none", antialiased=True, hatch="", zorder=2, snap=False, alpha=1)
    if row.error > 0:
        axes.plot([row.end - row.error, row.end + row.error], [at, at], **_ink(INK, 1))


def _join(axes: Axes, rows: Sequence[_Bar]) -> None:
    """Lines behind the bars: from where each begins to the end of the one below it, or one through all beginnings."""
    if all(row.start == 0 for row in rows):
        axes.plot([0, 0], [-0.5, len(rows) - 0.5], **_ink(PALE, 1))
        return
    for at, under in enumerate(rows[1:]):
        axes.plot([under.end, under.end], [at, at + 1], **_ink(PALE, 1) | {"zorder": 1})


def _ink(colour: Colour, width: int) -> dict[str, Any]:
    return {"color": rgb(colour), "linewidth": width, "linestyle": "solid", "marker": "none", "zorder": 3,
            "clip_on": False}  # fmt: skip
