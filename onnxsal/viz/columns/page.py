"""Bars of one row as a part of a page, for notebooks and HTML files: light and dark, without scripts."""

from __future__ import annotations

import math
from typing import NamedTuple

from onnxsal.viz.caption import INK, PALE, PAPER
from onnxsal.viz.columns.attribution import MISSING, Attribution, Part
from onnxsal.viz.columns.bars import MOST
from onnxsal.viz.columns.shades import sides
from onnxsal.viz.words.page import DIM, Said, as_hex, escaped
from onnxsal.viz.words.shades import CHALK, NIGHT

_STYLE = """
.sal-columns{font:15px/1.5 system-ui,"Noto Sans","Segoe UI",sans-serif;padding:1.2em 1.4em;max-width:56em;
border-radius:6px;background:%(paper)s;color:%(ink)s}
.sal-columns h2{font-size:1.05em;margin:0 0 .4em;font-weight:600}
.sal-columns p{font-size:.78em;margin:.5em 0 0;color:%(pale)s}
.sal-columns table{border-collapse:collapse;width:100%%;table-layout:auto;background:none;color:inherit}
.sal-columns tr{background:none}
.sal-columns td{padding:.05em .9em .05em 0;border:0;text-align:start;overflow-wrap:anywhere}
.sal-columns .n{text-align:end;white-space:nowrap;font-variant-numeric:tabular-nums}
.sal-columns .bar{width:45%%;padding:0}
.sal-columns .bar b{display:block;height:.9em;min-width:1px}
.sal-columns .up{background:%(higher)s}.sal-columns .down{background:%(lower)s}
.sal-columns .none,.sal-columns .end td{color:%(pale)s}
@media (prefers-color-scheme:dark){.sal-columns{background:%(night)s;color:%(chalk)s}
.sal-columns p,.sal-columns .none,.sal-columns .end td{color:%(dim)s}
.sal-columns .bar b{filter:brightness(1.6)}}
"""


def fragment(shown: Attribution, said: Said, *, most: int = MOST, colours: str | None = None) -> str:
    """Return a part of a page: a line for each column, the largest first, with its cell, its value and a bar.

    The score stands above, the base value below, where they are known.
    """
    parts = shown.shortened(most)
    values = [part.value for part in parts if math.isfinite(part.value)]
    axis = _Axis(-min((0.0, *values)), max((0.0, *values)))
    ends = {name: _end(name, text) for name, text in shown.ends}
    rows = [ends.get("score", ""), *(_row(part, axis) for part in parts), ends.get("base value", "")]
    title = f"<h2>{escaped(f'{said.title}  {said.value}'.strip())}</h2>" if said.title else ""
    detail = f"<p>{escaped(said.detail)}</p>" if said.detail else ""
    table = f"<table>{''.join(rows)}</table>"
    return f'<div class="sal-columns"><style>{_style(colours)}</style>{title}{table}{detail}</div>'


class _Axis(NamedTuple):
    """How far bars reach to the left of 0 and to the right of it."""

    left: float
    right: float

    def share(self, length: float) -> float:
        """Return a length as per cent of the whole."""
        return 100 * length / ((self.left + self.right) or 1.0)


def _row(part: Part, axis: _Axis) -> str:
    cell = f'<span class="none">{MISSING}</span>' if part.told == MISSING else escaped(part.told)
    size = abs(part.value) if math.isfinite(part.value) else 0.0
    place = axis.share(axis.left - (size if part.value < 0 else 0.0))
    bar = f'<b class="{"down" if part.value < 0 else "up"}" style="margin-left:{place:.2f}%;width:{axis.share(size):.2f}%"></b>'  # noqa: E501
    return (
        f'<tr><td dir="auto">{escaped(part.name)}</td><td dir="auto">{cell}</td><td class="n">{part.shown}</td>'
        f'<td class="bar">{bar if size else ""}</td></tr>'
    )


def _end(name: str, text: str) -> str:
    return f'<tr class="end"><td>{name}</td><td></td><td class="n">{text}</td><td></td></tr>'


def _style(colours: str | None) -> str:
    lower, higher = sides(colours)
    own = {"paper": PAPER, "ink": INK, "pale": PALE, "night": NIGHT, "chalk": CHALK, "dim": DIM, "lower": lower,
           "higher": higher}  # fmt: skip
    return _STYLE % {name: as_hex(colour) for name, colour in own.items()}
