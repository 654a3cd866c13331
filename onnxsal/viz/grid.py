"""Pictures side by side: the photograph first, then a tile for each method or layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from onnxsal.errors import UsageError
from onnxsal.viz.caption import PAPER, Caption, caption_bar
from onnxsal.viz.colour import Pixels

_WIDEST = 1560
_LARGEST_TILE, _SMALLEST_TILE = 420, 240
_GAP = 18
_MARGIN = 26
_TALLEST = 1.5  # a tile's height over its width


@dataclass(frozen=True)
class Tile:
    """A picture, uint8 [h, w, 3], and what stands below it."""

    image: Pixels
    title: str
    detail: str = ""


def grid(tiles: Sequence[Tile], *, heading: Caption | None = None, columns: int | None = None) -> Pixels:
    """Return the tiles in rows on white, each with its title, uint8 [h, w, 3]; ``heading`` stands above all.

    Raises: UsageError: there is no tile, or fewer than one column is asked for.
    """
    if not tiles or (columns is not None and columns < 1):
        raise UsageError(f"a grid has at least one tile and one column; got {len(tiles)} tiles, {columns} columns")
    across = min(columns or _columns(len(tiles)), len(tiles))
    width = max(_SMALLEST_TILE, min(_LARGEST_TILE, (_WIDEST - 2 * _MARGIN + _GAP) // across - _GAP))
    rows = [_row(tiles[start : start + across], across, width) for start in range(0, len(tiles), across)]
    return _page(rows, heading)


def _columns(count: int) -> int:
    """One row up to five, else the fewest rows of at most five that leave the last one fullest."""
    if count <= 4:
        return count
    rows = -(-count // 5) if count > 5 else 2
    return -(-count // rows)


def _fitted_size(image: Pixels, width: int) -> tuple[int, int]:
    factor = min(width / image.shape[1], _TALLEST * width / image.shape[0])
    return max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))


def _cell(tile: Tile, width: int, height: int) -> Pixels:
    """A tile's picture, centred, with its title below."""
    size = _fitted_size(tile.image, width)
    enlarged_blocks = size[0] >= 4 * tile.image.shape[1]
    how = Image.Resampling.NEAREST if enlarged_blocks else Image.Resampling.LANCZOS
    cell = Image.new("RGB", (width, height), PAPER)
    image = Image.fromarray(tile.image).resize(size, how)
    cell.paste(image, ((width - size[0]) // 2, height - size[1]))
    letters = max(16, round(width * 0.05))
    bar = caption_bar(Caption(tile.title, detail=tile.detail or " "), width, letters, margin=0)
    return np.vstack([np.asarray(cell), bar])


def _row(tiles: Sequence[Tile], across: int, width: int) -> Pixels:
    """Cells side by side, their titles on one line; a last row that is not full is filled with white."""
    height = max(_fitted_size(tile.image, width)[1] for tile in tiles)
    cells = [_cell(tile, width, height) for tile in tiles]
    blank, gap = np.full_like(cells[0], 255), np.full((len(cells[0]), _GAP, 3), 255, np.uint8)
    filled = [*cells, *[blank] * (across - len(cells))]
    return np.hstack([part for cell in filled for part in (cell, gap)][:-1])


def _page(rows: Sequence[Pixels], heading: Caption | None) -> Pixels:
    gap = np.full((_GAP // 2, rows[0].shape[1], 3), 255, np.uint8)
    parts = [part for row in rows for part in (row, gap)][:-1]
    if heading is not None:
        top = caption_bar(heading, rows[0].shape[1], 26, margin=0)
        parts = [top, gap, *parts]
    body = np.vstack(parts)
    above = _MARGIN - 10 if heading is not None else _MARGIN
    return np.pad(body, ((above, _MARGIN - 8), (_MARGIN, _MARGIN), (0, 0)), constant_values=255)
