"""Words with their scores as colours of a terminal, wrapped to its width."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal, TypeAlias

from onnxsal.viz.words.flow import Run, added, flow, parts, visible
from onnxsal.viz.words.joined import Word
from onnxsal.viz.words.shades import LEVELS, Rgb, Scale, letters_on

Depth: TypeAlias = Literal["true", "256"]
"""How many colours a terminal has: 16 million, or 256 of which 216 are a cube."""

_END = "\x1b[0m"
_FAINT = "\x1b[2m"
_CUBE = (0, 95, 135, 175, 215, 255)
_GREYS = tuple(range(8, 248, 10))


def coloured(text: str, words: Sequence[Word], scale: Scale, *, width: int, depth: Depth) -> list[str]:
    """Return the lines of a text with each word on the colour of its score, a legend, and the tokens that were added.

    Letters that no token covers are faint.
    """
    lines, room = [""], width
    for run in flow(text, words):
        for part in parts(run):
            if part == "\n":
                lines, room = [*lines, ""], width
                continue
            size = columns(part)
            if size > room and part.strip():
                lines, room = [*lines, ""], width
            if part.strip() or room < width:  # no line begins with the blank it was broken at
                lines[-1] += _dressed(part, run, scale, depth)
                room -= size
    return [*(line.rstrip() for line in lines), *_beside(words, scale, depth), legend(scale, depth)]


def legend(scale: Scale, depth: Depth) -> str:
    """Return a line of the colours from the weakest score to the strongest."""
    steps = range(-LEVELS if scale.signed else 0, LEVELS + 1, 4)
    bar = "".join(_on(scale.colour(level), "  ", depth) for level in steps)
    low, high = (f"{-scale.limit:+.3g}", f"{scale.limit:+.3g}") if scale.signed else ("0", f"{scale.limit:.3g}")
    return f"{low} {bar} {high}"


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: marks none, East Asian letters two."""
    return sum(
        0 if unicodedata.category(c)[0] == "M" else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _dressed(part: str, run: Run, scale: Scale, depth: Depth) -> str:
    if run.word is None:
        return f"{_FAINT}{part}{_END}" if run.is_unread and part.strip() else part
    return _on(scale.colour(scale.level(run.word.score)), part, depth)


def _beside(words: Sequence[Word], scale: Scale, depth: Depth) -> list[str]:
    shown = " ".join(_on(scale.colour(scale.level(w.score)), visible(w.text), depth) for w in added(words))
    return [f"added by the tokenizer: {shown}"] if shown else []


def _on(paper: Rgb | None, text: str, depth: Depth) -> str:
    if paper is None:
        return text
    if depth == "true":
        behind, letters = (f"2;{';'.join(map(str, each))}" for each in (paper, letters_on(paper)))
    else:
        number, shown = nearest(paper)
        behind, letters = f"5;{number}", f"5;{nearest(letters_on(shown))[0]}"
    return f"\x1b[48;{behind};38;{letters}m{text}{_END}"


def nearest(colour: Rgb) -> tuple[int, Rgb]:
    """Return the number of the nearest colour among 256, of the cube or of the greys, and that colour."""
    steps = [min(range(6), key=lambda at, part=part: abs(_CUBE[at] - part)) for part in colour]  # type: ignore[misc]
    red, green, blue = (_CUBE[at] for at in steps)
    grey = min(range(len(_GREYS)), key=lambda at: abs(_GREYS[at] - sum(colour) / 3))
    found = [(16 + 36 * steps[0] + 6 * steps[1] + steps[2], (red, green, blue)), (232 + grey, (_GREYS[grey],) * 3)]
    return min(found, key=lambda each: sum((a - b) ** 2 for a, b in zip(each[1], colour, strict=True)))
