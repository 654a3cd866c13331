"""Regions on a photograph: which pixels are tinted with what, and what the legend holds."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.viz.regions import COLOURS, Drawn, draw_regions

GREY = np.full((480, 640, 3), 128, np.uint8)
LEFT = np.zeros((4, 4), bool)
LEFT[:, :2] = True


def far(pixel: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(pixel.astype(float) - other).max())


def test_a_region_is_tinted_where_it_is_and_nowhere_else() -> None:
    drawn = draw_regions(GREY, [Drawn(LEFT, "left", "50 %")])
    assert drawn.shape[1] == 640
    tint = 0.5 * np.array(COLOURS[0]) + 64
    assert far(drawn[20, 20], tint) <= 1
    assert far(drawn[470, 300], tint) <= 1
    assert far(drawn[20, 600], np.array([128, 128, 128])) <= 1
    assert far(drawn[240, 319], np.array(COLOURS[0])) <= 1  # the line along its edge
    assert far(drawn[240, 320], np.array([20, 20, 20])) <= 1  # and the dark one outside of it


def test_what_the_model_did_not_see_is_dark_and_holds_nothing() -> None:
    """A crop of the middle: the mask's left half is a quarter of the photograph."""
    drawn = draw_regions(GREY, [Drawn(LEFT, "left")], (160, 0, 320, 480))
    assert far(drawn[240, 80], np.full(3, 0.45 * 128)) <= 1
    assert far(drawn[20, 200], 0.5 * np.array(COLOURS[0]) + 64) <= 1
    assert far(drawn[20, 400], np.full(3, 128)) <= 1
    letterbox = draw_regions(GREY, [Drawn(np.ones((4, 4), bool), "all")], (0, -80, 640, 640))
    assert far(letterbox[3, 3], 0.5 * np.array(COLOURS[0]) + 64) <= 1


def test_a_line_of_one_position_shows() -> None:
    thin = np.zeros((320, 320), bool)
    thin[100, 40:280] = True
    drawn = draw_regions(np.full((320, 320, 3), 5, np.uint8), [Drawn(thin, "text")])
    rows = np.flatnonzero((np.abs(drawn[:480, 300].astype(int) - COLOURS[0]) < 40).all(axis=1))
    assert rows.tolist() == [150]  # enlarged from 320 to 480: the only row with its middle on the position


def test_small_regions_lie_on_large_ones() -> None:
    small = np.zeros((4, 4), bool)
    small[1:3, 1:3] = True
    for order in ([0, 1], [1, 0]):
        both = [Drawn(np.ones((4, 4), bool), "large"), Drawn(small, "small")]
        drawn = draw_regions(GREY, [both[at] for at in order])
        under = 0.5 * np.array(COLOURS[order.index(0)]) + 64
        assert far(drawn[130, 170], 0.5 * np.array(COLOURS[order.index(1)]) + 0.5 * under) <= 1


@pytest.mark.parametrize("count", [1, 2, 7, 8, 21, 60])
def test_every_region_has_its_row_and_no_two_look_alike(count: int) -> None:
    rng = np.random.default_rng(count)
    which = rng.integers(0, count, (16, 16))
    regions = [Drawn(which == k, f"class {k}", f"{k} %") for k in range(count)]
    drawn = draw_regions(GREY, regions)
    legend = {tuple(pixel) for pixel in drawn[480:].reshape(-1, 3).tolist()}
    assert {colour for colour in COLOURS if colour in legend} == set(COLOURS[:count])
    fresh = [draw_regions(GREY, [Drawn(np.zeros((16, 16), bool), "")] * k + [Drawn(np.ones((16, 16), bool), "")])
             for k in range(min(count, 14))]  # fmt: skip
    looks = {each[30:100, 30:100].tobytes() for each in fresh}
    assert len(looks) == len(fresh)


def test_no_region_is_said() -> None:
    assert len(draw_regions(GREY, [])) > 480


@pytest.mark.parametrize("mask", [np.ones((2, 2, 2), bool), np.ones((2, 2))])
def test_a_mask_that_is_none(mask: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"bool \[h, w\]"):
        draw_regions(GREY, [Drawn(mask, "x")])
