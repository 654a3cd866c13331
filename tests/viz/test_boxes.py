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
