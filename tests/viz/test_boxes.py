"""Boxes on a photograph: where their lines are, and what the legend holds."""

from __future__ import annotations

import numpy as np

from onnxsal.viz.boxes import DrawnBox, boxed, draw_boxes
from onnxsal.viz.regions import COLOURS

GREY = np.full((480, 640, 3), 128, np.uint8)


def test_a_box_has_its_colour_on_its_line_and_the_photograph_inside() -> None:
    drawn = draw_boxes(GREY, [DrawnBox((100, 100, 300, 200), "dog", "90 %")])
    assert drawn[100, 250].tolist() == list(COLOURS[0])
    assert drawn[200, 200].tolist() == list(COLOURS[0])
    assert drawn[150, 300].tolist() == list(COLOURS[0])
    assert drawn[160, 250].tolist() == [128, 128, 128]
    assert drawn[99, 250].tolist() == [20, 20, 20]
    assert drawn.shape[0] > 480  # the legend


def test_the_first_box_lies_on_top_and_what_hangs_over_is_cut_off() -> None:
    drawn = draw_boxes(GREY, [DrawnBox((-50, 100, 300, 900), "a"), DrawnBox((-50, 100, 400, 200), "b")])
    assert drawn[100, 200].tolist() == list(COLOURS[0])
    assert drawn[200, 350].tolist() == list(COLOURS[1])
    assert drawn[479, 200].tolist() == list(COLOURS[0])
    assert drawn[300, 0].tolist() == list(COLOURS[0])


def test_without_boxes_the_legend_says_so() -> None:
    drawn = draw_boxes(GREY, [])
    assert (drawn[:480] == 128).all()
    assert (drawn[480:] < 100).any()


def test_one_box_is_light_in_dark_in_the_picture_s_own_pixels() -> None:
    drawn = boxed(GREY, (100, 100, 300, 200))
    assert drawn[100, 200].tolist() == [255, 255, 255]
    assert drawn[99, 200].tolist() == [20, 20, 20]
    assert drawn[150, 200].tolist() == [128, 128, 128]


def test_a_turned_box_goes_through_its_corners_and_keypoints_are_discs_or_rings() -> None:
    corners = [(200, 100), (300, 200), (200, 300), (100, 200)]
    points = [(400, 100, 0.9), (400, 300, 0.1)]
    drawn = draw_boxes(GREY, [DrawnBox((100, 100, 300, 300), "a", corners=corners, points=points, bones=[(0, 1)])])
    assert drawn[250, 250].tolist() == list(COLOURS[0])  # between two corners
    assert drawn[299, 110].tolist() == [128, 128, 128]  # the lower side of the upright box
    assert drawn[100, 400].tolist() == list(COLOURS[0])
    assert drawn[200, 400].tolist() == list(COLOURS[0])  # the bone
    ring = draw_boxes(GREY, [DrawnBox((0, 0, 9, 9), "a", points=points[1:])])
    assert ring[300, 400].tolist() == [128, 128, 128]
    one = boxed(GREY, (100, 100, 300, 300), corners)
    assert one[250, 250].tolist() == [255, 255, 255]
    assert one[300, 110].tolist() == [128, 128, 128]


def test_a_mask_is_tinted_in_a_line_of_its_colour() -> None:
    drawn = draw_boxes(GREY, [DrawnBox((0, 0, 639, 479), "a", mask=(200, 100, np.ones((80, 90), bool)))])
    assert drawn[140, 245].tolist() == [round(128 + (c - 128) * 0.4) for c in COLOURS[0]]
    assert drawn[100, 245].tolist() == drawn[140, 289].tolist() == list(COLOURS[0])
    assert drawn[140, 190].tolist() == [128, 128, 128]
    edged = boxed(GREY, (0, 0, 639, 479), mask=np.kron([[0, 0], [0, 1]], np.ones((240, 320))).astype(bool))
    assert edged[300, 320].tolist() == [255, 255, 255]
    assert edged[300, 400].tolist() == [128, 128, 128]
