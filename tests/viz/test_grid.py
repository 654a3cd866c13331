"""Tiles side by side: all of them, in order, none distorted."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.viz.caption import Caption
from onnxsal.viz.grid import Tile, grid

COLOURS = [(30 + 17 * index, 200 - 13 * index, 90 + (index * 71) % 150) for index in range(12)]


def tiles(count: int, height: int = 100, width: int = 100) -> list[Tile]:
    return [Tile(np.full((height, width, 3), COLOURS[index], np.uint8), f"method {index}") for index in range(count)]


def extents(page: np.ndarray, count: int) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of each tile, found by its colour."""
    found = []
    for colour in COLOURS[:count]:
        rows, columns = np.nonzero((page == colour).all(axis=2))
        found.append((rows.min(), columns.min(), rows.max() - rows.min() + 1, columns.max() - columns.min() + 1))
    return found


@pytest.mark.parametrize(("count", "across"), [(1, 1), (2, 2), (4, 4), (5, 3), (6, 3), (7, 4), (8, 4), (9, 5), (12, 4)])
def test_all_tiles_are_there_in_reading_order(count: int, across: int) -> None:
    page = grid(tiles(count), heading=Caption("robin", "97 %"))
    placed = extents(page, count)
    assert placed == sorted(placed, key=lambda tile: (tile[0], tile[1]))
    assert len({tile[1] for tile in placed}) == across
    assert {tile[2:] for tile in placed} == {(placed[0][3], placed[0][3])}
    assert page.shape[1] <= 1600


def test_shapes_are_kept_and_bottoms_line_up() -> None:
    square, wide = tiles(2)[0], Tile(np.full((60, 120, 3), COLOURS[1], np.uint8), "wide")
    first, second = extents(grid([square, wide]), 2)
    assert first[2] == first[3]
    assert second[3] == 2 * second[2]
    assert first[0] + first[2] == second[0] + second[2]


def test_a_tower_does_not_stretch_the_page() -> None:
    page = grid([Tile(np.full((2000, 20, 3), COLOURS[0], np.uint8), "tower"), *tiles(2)[1:]])
    tower, other = extents(page, 2)
    assert tower[2] == pytest.approx(100 * tower[3], rel=0.1)
    assert tower[2] <= 1.5 * other[3] + 1


def test_columns_can_be_chosen() -> None:
    placed = extents(grid(tiles(4), columns=2), 4)
    assert placed[0][0] == placed[1][0] < placed[2][0] == placed[3][0]


def test_titles_are_drawn_below_their_tiles() -> None:
    page = grid(tiles(2))
    (top, left, height, width), _ = extents(page, 2)
    below = page[top + height : top + height + 60, left : left + width]
    assert (below < 100).any()


def test_small_pictures_keep_their_own_pixels() -> None:
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 255
    page = grid([Tile(np.dstack([checks] * 3).astype(np.uint8), "checks")])
    body = page[26:440, 26:440]
    assert np.isin(body, (0, 255)).mean() > 0.99


def test_no_tiles_and_no_columns_are_a_misuse() -> None:
    with pytest.raises(UsageError, match="0 tiles"):
        grid([])
    with pytest.raises(UsageError, match="0 columns"):
        grid(tiles(2), columns=0)
