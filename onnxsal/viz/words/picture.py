"""Words with their scores as a picture: a text set in lines, each word on the colour of its score."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, features

from onnxsal.viz.caption import INK, PALE, PAPER
from onnxsal.viz.colour import Pixels
from onnxsal.viz.text import Line, fit_line
from onnxsal.viz.words.flow import Run, added, flow, is_right_to_left, parts, visible
from onnxsal.viz.words.joined import Word
from onnxsal.viz.words.shades import LEVELS, Rgb, Scale, letters_on

Look: TypeAlias = Literal["colours", "ink", "plain"]
"""Words on the colour of their score; words whose letters are as dark as their score is strong; the text alone."""

_MARGIN = 28
_SETTINGS = ((150, 640, 32), (450, 960, 32), (1 << 30, 960, 22))
"""Up to how many characters a text is set on a picture of what width, in letters of what size, in pixels."""
_LEADING = 1.62


@dataclass(frozen=True)
class _Set:
    """A part of a line that has its place: what it is, how it is written, its left edge."""

    run: Run
    line: Line
    width: float
    left: float = 0.0

    @property
    def is_blank(self) -> bool:
        return not self.line.text


@dataclass(frozen=True)
class _Paper:
    """The width of a picture, and the size of the letters on it. Units: pixels."""

    width: int
    letters: int


def picture(text: str, words: Sequence[Word], scale: Scale, *, look: Look = "colours") -> Pixels:
    """Return a text as a picture, uint8 [h, w, 3]: black on white, each word on the colour of its score.

    Letters that no token covers are pale. What the tokenizer added stands below, small.
    """
    width, letters = next((width, letters) for most, width, letters in _SETTINGS if len(text) < most)
    rows = list(_rows(text, words, _Paper(width, letters)))
    small_print = _Paper(width, letters * 2 // 3)
    beside = list(_filled([_measured(Run(w.text, w), visible(w.text), small_print) for w in added(words)], width, 14))
    leading, small = round(letters * _LEADING), round(letters * 2 / 3 * _LEADING)
    height = 2 * _MARGIN + leading * len(rows) + (small * len(beside) + _MARGIN // 2 if beside else 0)
    image = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(image)
    for at, row in enumerate(rows):
        _draw(pen, row, (_MARGIN + at * leading, leading), scale, look)
    for at, row in enumerate(beside):
        _draw(pen, row, (height - _MARGIN - small * (len(beside) - at), small), scale, look)
    return np.asarray(image)


def _rows(text: str, words: Sequence[Word], paper: _Paper) -> Iterator[list[_Set]]:
    """Yield the lines of a text, in the order in which they are seen from left to right."""
    turned = is_right_to_left(text)
    for paragraph in _paragraphs(text, words, paper):
        for row in _filled(paragraph, paper.width, 0):
            yield _placed(_visual(row, turned=turned), paper.width if turned else None)


def _paragraphs(text: str, words: Sequence[Word], paper: _Paper) -> Iterator[list[_Set]]:
    found: list[_Set] = []
    for run in flow(text, words):
        for part in parts(run):
            if part == "\n":
                yield found
                found = []
            else:
                found.append(_measured(run, part, paper))
    yield found


def _measured(run: Run, part: str, paper: _Paper) -> _Set:
    if not part.strip():
        line = fit_line("n", math.inf, paper.letters)
        return _Set(run, Line("", line.font), line.font.getlength(" ") * len(part))
    line = fit_line(part, paper.width - 2 * _MARGIN, paper.letters)
    return _Set(run, line, line.font.getlength(line.text))


def _filled(items: Sequence[_Set], width: int, gap: int) -> Iterator[list[_Set]]:
    """Yield items in lines that fit, from left to right, ``gap`` pixels apart; no line begins with a blank."""
    row, at = list[_Set](), float(_MARGIN)
    for item in items:
        if row and at + item.width > width - _MARGIN and not item.is_blank:
            yield row
            row, at = [], float(_MARGIN)
        if row or not item.is_blank:
            row.append(_Set(item.run, item.line, item.width, at))
            at += item.width + gap
    if row or not items:
        yield row


def _visual(row: Sequence[_Set], *, turned: bool) -> list[_Set]:
    """Return the parts of a line as they are seen from left to right: runs of the other direction turned round."""
    found, run = list[_Set](), list[_Set]()
    for item in row:
        if _direction(item.line.text) == (-1 if not turned else 1) or (run and _direction(item.line.text) == 0):
            run.append(item)
            continue
        found += [*_turned(run), item]
        run = []
    found += _turned(run)
    return found[::-1] if turned else found


def _turned(run: list[_Set]) -> list[_Set]:
    """Return a run the other way round; what has no direction at its end stays where it is."""
    end = len(run)
    while end and _direction(run[end - 1].line.text) == 0:
        end -= 1
    return [*run[:end][::-1], *run[end:]]


def _direction(text: str) -> int:
    """Return 1 for what is read from the left, -1 from the right, 0 where nothing says it."""
    strong = (unicodedata.bidirectional(character) for character in text)
    return next((1 if each in ("L", "EN", "AN") else -1 for each in strong if each in ("L", "R", "AL", "EN", "AN")), 0)


def _placed(row: Sequence[_Set], right: int | None) -> list[_Set]:
    """Return the parts of a line at their places. Args: right: the edge at which it ends, None to begin at the left."""
    at = float(_MARGIN) if right is None else right - _MARGIN - sum(item.width for item in row)
    found = []
    for item in row:
        found.append(_Set(item.run, item.line, item.width, at))
        at += item.width
    return found


def _draw(
    pen: ImageDraw.ImageDraw, row: Sequence[_Set], band: tuple[float, float], scale: Scale, look: Look
) -> None:  # fmt: skip
    top, leading = band
    for item in row:
        if item.is_blank:
            continue
        paper, ink = _colours(item.run, scale, look)
        if paper is not None:
            edges = (item.left - 1, top + leading * 0.06, item.left + item.width + 1, top + leading * 0.94)
            pen.rounded_rectangle(edges, radius=leading * 0.12, fill=paper)
        pen.text((item.left, top + leading * 0.68), _shaped(item.line.text), ink, item.line.font, "ls")


def _colours(run: Run, scale: Scale, look: Look) -> tuple[Rgb | None, Rgb]:
    """Return the colour behind a part, None for none, and that of its letters."""
    if run.word is None:
        return None, PALE
    level = 0 if look == "plain" else scale.level(run.word.score)
    if look == "ink":
        share = abs(level) / LEVELS
        red, green, blue = (round(226 + (ink - 226) * share) for ink in INK)
        return None, (red, green, blue)
    paper = scale.colour(level)
    return paper, INK if paper is None else letters_on(paper)


def _shaped(text: str) -> str:
    """Return text as it is drawn: without a library that knows directions, what is read from the right turned round."""
    return text[::-1] if is_right_to_left(text) and not features.check("raqm") else text
