"""Bars of one row, and the mean sizes of many, as lines of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from onnxsal.viz.columns.attribution import Attribution, Part, Swarm
from onnxsal.viz.columns.bars import MOST
from onnxsal.viz.columns.shades import Rgb, sides
from onnxsal.viz.words.terminal import Depth, columns, nearest

_PARTS = "▏▎▍▌▋▊▉"
"""Eighths of a character's width."""
_NAME, _CELL = 0.38, 0.25
"""The most of a terminal's width that names and cells take."""
_LEAST = 4
"""Characters of the longest bar below which none is drawn."""


def lines(
    shown: Attribution, *, width: int = 80, most: int = MOST, depth: Depth | None = None, blocks: bool = True
) -> list[str]:
    """Return a line for each column, the largest first: its name, its cell, its value, and a bar as long as that.

    Above stands the score, below the base value, where they are known.
    Args: depth: how many colours there are, None for none. blocks: whether the terminal has characters of blocks.
    """
    parts = shown.shortened(most)
    names = [_cut(part.name, width * _NAME) for part in parts]
    cells = [_cut(part.told, width * _CELL) for part in parts]
    texts = [part.shown for part in parts]
    ends = [(name, "", text) for name, text in shown.ends]
    rows = list(zip(names, cells, texts, strict=True))
    above, below = ([end for end in ends if (end[0] == "score") == is_first] for is_first in (True, False))
    widths = [max(columns(row[at]) for row in (*rows, *ends)) for at in range(3)]
    told = ["  ".join((_padded(name, widths[0]), _padded(cell, widths[1]), " " * (widths[2] - len(text)) + text))
            for name, cell, text in (*above, *rows, *below)]  # fmt: skip
    first = len(above)
    bars = _bars(parts, width - sum(widths) - 6, depth, blocks=blocks)
    told[first : first + len(rows)] = [
        f"{line}  {bar}".rstrip() for line, bar in zip(told[first : first + len(rows)], bars, strict=True)
    ]
    return told


def sizes(shown: Swarm, *, width: int = 80, most: int = MOST, blocks: bool = True) -> list[str]:
    """Return a line for each column of many rows, the largest first: its name, its values' mean size, a bar.

    Args: as of ``lines``.
    """
    told = shown.shortened(most)
    parts = [Part(name, size) for name, size in zip(told.names, told.importance().tolist(), strict=True)]
    names, texts = [_cut(part.name, width * _NAME) for part in parts], [f"{part.value:.4g}" for part in parts]
    widest, longest = max(map(columns, names)), max(map(len, texts))
    bars = _bars(parts, width - widest - longest - 4, None, blocks=blocks)
    return [f"{_padded(name, widest)}  {text:>{longest}}  {bar}".rstrip()
            for name, text, bar in zip(names, texts, bars, strict=True)]  # fmt: skip


def _bars(parts: Sequence[Part], room: int, depth: Depth | None, *, blocks: bool) -> list[str]:
    longest = max((abs(part.value) for part in parts), default=0.0)
    if room < _LEAST or not 0 < longest < float("inf"):
        return [""] * len(parts)
    lower, higher = sides()
    return [_dressed(_bar(abs(part.value) / longest * room, blocks=blocks), higher if part.value > 0 else lower, depth)
            for part in parts]  # fmt: skip


def _bar(length: float, *, blocks: bool) -> str:
    if not blocks:
        return "#" * round(length)
    eighths = round(length * 8)
    return "█" * (eighths // 8) + ("" if eighths % 8 == 0 else _PARTS[eighths % 8 - 1])


def _dressed(bar: str, colour: Rgb, depth: Depth | None) -> str:
    if depth is None or not bar:
        return bar
    ink = f"2;{';'.join(map(str, colour))}" if depth == "true" else f"5;{nearest(colour)[0]}"
    return f"\x1b[38;{ink}m{bar}\x1b[0m"


def _cut(text: str, most: float) -> str:
    """Return a text in one line of so many columns at most; of a longer one the beginning, with an ellipsis."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if columns(plain) <= most:
        return plain
    while plain and columns(plain) > most - 1:
        plain = plain[:-1]
    return f"{plain}…"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))
