"""Pointing metrics on maps whose answers are known, and distances against a slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.metrics.pointing import boxes_mask, distance_to, energy_pointing, grid_pointing, pointing_game

RNG = np.random.default_rng(3)
MASK = np.zeros((40, 50), bool)
MASK[10:20, 5:25] = True


def spot(row: int, column: int) -> np.ndarray:
    found = np.zeros((40, 50))
    found[row, column] = 1
    return found


def test_energy_is_counted_inside() -> None:
    assert energy_pointing(MASK.astype(float), MASK).value == 1
    assert energy_pointing((~MASK).astype(float), MASK).value == 0
    assert energy_pointing(np.ones((40, 50)), MASK).value == pytest.approx(MASK.mean())
    assert energy_pointing(np.where(MASK, -3.0, 1.0), MASK).value == pytest.approx(600 / (600 + 1800))


def test_boxes_are_the_mask_they_enclose() -> None:
    saliency = RNG.random((40, 50))
    boxes = [[5, 10, 25, 20]]
    judged = energy_pointing(saliency, boxes=boxes)
    assert judged.value == energy_pointing(saliency, MASK).value
    assert judged.details == {"region": "boxes"}
    assert energy_pointing(saliency, MASK, [[0, 0, 1, 1]]).details == {"region": "mask"}


def test_boxes_overlap_and_pass_the_border() -> None:
    found = boxes_mask(np.array([[-5.0, -5, 3, 2], [1, 1, 4, 4]]), (6, 7))
    expected = np.zeros((6, 7), bool)
    expected[:2, :3] = expected[1:4, 1:4] = True
    np.testing.assert_array_equal(found, expected)
    assert boxes_mask(np.array([[0.4, 0.6, 1.6, 1.4]]), (3, 3)).sum() == 0
    assert boxes_mask(np.array([[0.4, 0.4, 1.6, 1.6]]), (3, 3)).sum() == 4


@pytest.mark.parametrize("judge", [energy_pointing, pointing_game])
def test_without_an_object_it_is_not_defined(judge: object) -> None:
    for given in ({}, {"mask": None}, {"mask": MASK & False}, {"boxes": []}, {"boxes": None}):
        assert np.isnan(judge(spot(1, 1), **given).value)  # type: ignore[operator]
    assert np.isnan(judge(np.zeros((40, 50)), MASK).value)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("row", "column", "hit"), [(12, 8, 1), (34, 8, 1), (35, 8, 0), (12, 39, 1), (12, 40, 0), (28, 36, 1), (31, 35, 0)]
)
def test_the_highest_pixel_may_miss_by_fifteen(row: int, column: int, hit: int) -> None:
    """The object ends at row 19 and column 24: 9 + 12 pixels away is 15, 12 + 11 is more."""
    assert pointing_game(spot(row, column), MASK).value == hit


def test_without_tolerance_it_must_be_on_the_object() -> None:
    assert pointing_game(spot(19, 24), MASK, tolerance=0).value == 1
    assert pointing_game(spot(20, 24), MASK, tolerance=0).value == 0
    assert pointing_game(spot(20, 24), MASK, tolerance=1).value == 1


def test_of_several_highest_pixels_the_share_counts() -> None:
    assert pointing_game(spot(12, 8) + spot(39, 49) + spot(0, 49) + spot(12, 9), MASK).value == 0.5


@pytest.mark.parametrize("reach", [0, 1, 2.5, 7, 100])
def test_distances_are_the_slow_twin_s(reach: float) -> None:
    inside = RNG.random((17, 13)) > 0.97
    inside[3, 4] = True
    where = np.argwhere(inside)
    every = np.array([[np.hypot(*(where - (y, x)).T).min() for x in range(13)] for y in range(17)])
    np.testing.assert_allclose(distance_to(inside, reach), np.where(every <= reach, every, np.inf))


def test_only_what_speaks_for_the_class_counts_in_a_grid() -> None:
    cell = np.zeros((4, 4), bool)
    cell[:2, 2:] = True
    assert grid_pointing(cell.astype(float), cell).value == 1
    assert grid_pointing(np.ones((4, 4)), cell).value == 0.25
    assert grid_pointing(np.where(cell, 1.0, -5.0), cell).value == 1
    assert np.isnan(grid_pointing(-np.ones((4, 4)), cell).value)
