"""What is said in pixels of a photograph, on positions over the model's picture: by hand and by counting."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.modalities.frame import Frame

CROP = Frame((20, 10), (5.0, 0.0, 10.0, 10.0))
"""A photograph of 20 x 10 of which the model sees the middle square."""
LETTERBOX = Frame((20, 10), (0.0, -5.0, 20.0, 20.0))


def counted(frame: Frame, mask: np.ndarray, grid: tuple[int, int], fine: int = 40) -> np.ndarray:
    """Return the same by counting points of a fine grid: ``fine`` in each pixel's side."""
    found = np.zeros(grid)
    left, top, width, height = frame.box
    for row, column in zip(*np.nonzero(mask), strict=True):
        y, x = ((at + (np.arange(fine) + 0.5) / fine) for at in (row, column))
        i = np.floor((y - top) / height * grid[0]).astype(int)
        j = np.floor((x - left) / width * grid[1]).astype(int)
        for a in i[(i >= 0) & (i < grid[0])]:
            np.add.at(found, (a, j[(j >= 0) & (j < grid[1])]), 1 / fine**2)
    return found


@pytest.mark.parametrize("frame", [CROP, LETTERBOX, Frame.whole((10, 20))])
@pytest.mark.parametrize("grid", [(4, 5), (20, 40), (1, 1)])
def test_a_mask_counts_by_the_part_that_lies_on_a_position(frame: Frame, grid: tuple[int, int]) -> None:
    mask = np.random.default_rng(3).random((10, 20)) < 0.3
    found = frame.of_mask(mask, grid)
    np.testing.assert_allclose(found, counted(frame, mask, grid), atol=0.06)
    seen = mask if frame is not CROP else mask[:, 5:15]
    assert found.sum() == pytest.approx(seen.sum())


def test_a_box_is_the_mask_of_its_pixels() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:7, 4:12] = True
    for frame in (CROP, LETTERBOX):
        np.testing.assert_allclose(frame.of_box((4, 2, 12, 7), (3, 7)), frame.of_mask(mask, (3, 7)), atol=1e-12)


def test_places_in_shares() -> None:
    assert CROP.shares(10, 5) == (0.5, 0.5)
    assert CROP.shares(0, 0) == (-0.5, 0)
    assert LETTERBOX.shares(10, 0) == (0.5, 0.25)
