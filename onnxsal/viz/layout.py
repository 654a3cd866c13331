"""Figures of several parts: tables of pictures with named rows and columns, parts beside and below each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from onnxsal.errors import UsageError
from onnxsal.viz.caption import INK, PALE, PAPER, Caption, caption_bar
from onnxsal.viz.colour import Pixels
from onnxsal.viz.text import fit_line

_GAP = 6
_BLOCKS = 4
"""A picture that grows this many times keeps its pixels visible."""


@dataclass(frozen=True)
class Labels:
    """What stands at a table of pictures: names of its columns and rows, and what each of the two is."""

    columns: Sequence[str]
    rows: Sequence[str]
    across: str = ""
    down: str = ""


def board(cells: Sequence[Sequence[Pixels | None]], labels: Labels, *, cell: int = 150, letters: int = 15) -> Pixels:
    """Return a table of pictures on white, uint8 [h, w, 3]; None leaves a place empty.

    Raises: UsageError: rows of different length, or not as many labels as rows and columns.
    """
    if {len(row) for row in cells} != {len(labels.columns)} or len(cells) != len(labels.rows):
        shape = f"{len(cells)} rows of {sorted({len(row) for row in cells})}"
        raise UsageError(
            f"a table of pictures: {shape}, labels for {len(labels.rows)} rows and {len(labels.columns)} columns"
        )
    left = _left(labels, letters)
    top = round(letters * (1.9 if not labels.across else 3.4))
    height = top + len(cells) * (cell + _GAP)
    canvas = Image.new("RGB", (left + len(labels.columns) * (cell + _GAP), height), PAPER)
    for y, row in enumerate(cells):
        for x, image in enumerate(row):
            if image is not None:
                canvas.paste(fitted(image, cell), (left + x * (cell + _GAP), top + y * (cell + _GAP)))
    _name(ImageDraw.Draw(canvas), labels, _Cells(left, top, cell), letters)
    return np.asarray(canvas)


def _left(labels: Labels, letters: int) -> int:
    names = [name for name in (*labels.rows, labels.down) if name]
    return max((fit_line(name, 260, letters).width for name in names), default=0) + (letters if names else 0)


class _Cells(NamedTuple):
    """Where a table's cells begin, and the side of one, in pixels."""

    left: int
    top: int
    side: int


def _name(draw: ImageDraw.ImageDraw, labels: Labels, cells: _Cells, letters: int) -> None:
    left, top, cell = cells
    for x, name in enumerate(labels.columns):
        line = fit_line(name, cell, letters)
        draw.text((left + x * (cell + _GAP) + cell / 2, top - letters * 0.55), line.text, INK, line.font, "ms")
    for y, name in enumerate(labels.rows):
        line = fit_line(name, 260, letters)
        draw.text((left - letters * 0.6, top + y * (cell + _GAP) + cell / 2), line.text, INK, line.font, "rm")
    if labels.across:
        line = fit_line(labels.across, len(labels.columns) * cell, letters)
        middle = left + (len(labels.columns) * (cell + _GAP) - _GAP) / 2
        draw.text((middle, letters * 1.1), line.text, PALE, line.font, "ms")
    if labels.down:
        line = fit_line(labels.down, max(left, letters), letters)
        draw.text((left - letters * 0.6, top - letters * 0.55), line.text, PALE, line.font, "rs")


def fitted(image: Pixels, side: int) -> Image.Image:
    """Return a picture on a white square of that side, as large as it fits."""
    factor = side / max(image.shape[:2])
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    how = Image.Resampling.NEAREST if factor >= _BLOCKS else Image.Resampling.LANCZOS
    canvas = Image.new("RGB", (side, side), PAPER)
    canvas.paste(Image.fromarray(image).resize(size, how), ((side - size[0]) // 2, (side - size[1]) // 2))
    return canvas


def beside(parts: Sequence[Pixels], *, gap: int = 24) -> Pixels:
    """Return the parts from left to right, their upper edges on one line, white between and below."""
    height = max(len(part) for part in parts)
    columns: list[Pixels] = []
    for part in parts:
        columns += [_padded(part, height - len(part), 0), np.full((height, gap, 3), 255, np.uint8)]
    return np.hstack(columns[:-1])


def below(parts: Sequence[Pixels], *, gap: int = 20) -> Pixels:
    """Return the parts from top to bottom, their left edges on one line."""
    width = max(part.shape[1] for part in parts)
    rows: list[Pixels] = []
    for part in parts:
        rows += [_padded(part, 0, width - part.shape[1]), np.full((gap, width, 3), 255, np.uint8)]
    return np.vstack(rows[:-1])


def figure(parts: Sequence[Pixels], heading: Caption, *, margin: int = 26, gap: int = 22) -> Pixels:
    """Return a whole figure: a heading, the parts below each other, a margin round all."""
    body = below(parts, gap=gap)
    wide = max(body.shape[1], 520)
    top = caption_bar(heading, wide, 24, margin=0)
    whole = below([top, body], gap=10)
    return np.pad(whole, ((margin - 10, margin), (margin, margin), (0, 0)), constant_values=255)


def _padded(part: Pixels, below_: int, right: int) -> Pixels:
    return np.pad(part, ((0, below_), (0, right), (0, 0)), constant_values=255)
