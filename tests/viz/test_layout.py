"""Tables of pictures and figures: every part in its place."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.viz.caption import Caption
from onnxsal.viz.layout import Labels, below, beside, board, figure, fitted


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (20, 20)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


def middle(image: np.ndarray, colour: tuple[int, int, int]) -> list[float]:
    return [float(v) for v in np.argwhere((image == colour).all(axis=2)).mean(axis=0)]


def test_cells_lie_in_their_rows_and_columns() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    cells = [[plain(c) for c in colours[:2]], [plain(c) for c in colours[2:]]]
    table = board(cells, Labels(["a", "b"], ["first", "second"], "across", "down"), cell=60)
    (ay, ax), (by, bx), (cy, cx), (dy, dx) = (middle(table, c) for c in colours)
    assert (ay, cy) == (by, dy)
    assert (ax, bx) == (cx, dx)
    assert bx - ax == cy - ay == 66
    assert ax > 60 / 2 + 20  # names of rows stand at the left


def test_an_empty_place_is_white_and_labels_have_to_fit() -> None:
    table = board([[plain((9, 9, 9)), None]], Labels(["a", "b"], [""]), cell=50)
    assert (table[-50:, -50:] == 255).all()
    with pytest.raises(UsageError, match=r"1 rows of \[2\], labels for 1 rows and 1 columns"):
        board([[plain((9, 9, 9)), None]], Labels(["a"], [""]))


def test_a_picture_keeps_its_shape_in_a_square() -> None:
    found = np.asarray(fitted(plain((9, 9, 9), (10, 40)), 100))
    dark = np.argwhere(found[..., 0] < 128)
    assert np.ptp(dark, axis=0).tolist() == [24, 99]


def test_parts_lie_beside_and_below_each_other() -> None:
    a, b = plain((9, 9, 9), (10, 20)), plain((8, 8, 8), (30, 5))
    side = beside([a, b], gap=4)
    assert side.shape == (30, 29, 3)
    assert (side[:10, :20] == 9).all() and (side[:, 24:] == 8).all() and (side[10:, :24] == 255).all()
    stack = below([a, b], gap=4)
    assert stack.shape == (44, 20, 3)
    assert (stack[14:, :5] == 8).all() and (stack[14:, 5:] == 255).all()


def test_a_figure_has_its_heading_above_all_parts() -> None:
    whole = figure([plain((9, 9, 9), (50, 600))], Caption("Heading"), margin=26)
    rows = np.argwhere((whole == 9).all(axis=2))[:, 0]
    ink = np.argwhere((whole < 60).all(axis=2) & ~(whole == 9).all(axis=2))[:, 0]
    assert len(rows) == 50 * 600
    assert ink.max() < rows.min()
