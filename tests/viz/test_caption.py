"""Captions are whole, or say with an ellipsis that they are not."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.viz.caption import Caption, caption_bar, with_caption
from onnxsal.viz.text import fit_line

PICTURE = np.full((50, 300, 3), 77, np.uint8)
LONG = "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"


def ink(bar: np.ndarray) -> np.ndarray:
    """The columns in which something is written."""
    return np.nonzero((bar < 250).any(axis=(0, 2)))[0]


def test_the_picture_stays_and_the_bar_is_below() -> None:
    captioned = with_caption(PICTURE, Caption("robin", "97 %", "grad-cam"))
    np.testing.assert_array_equal(captioned[:50], PICTURE)
    assert captioned.shape[0] > 80
    assert len(ink(captioned[50:]))


def test_text_that_fits_is_whole_and_at_its_size() -> None:
    line = fit_line("robin", 200, 20)
    assert (line.text, line.font.size) == ("robin", 20)


def test_text_that_nearly_fits_is_set_smaller() -> None:
    full = fit_line(LONG, 10_000, 20).width
    line = fit_line(LONG, full * 0.9, 20)
    assert line.text == LONG
    assert line.font.size in (17, 18)
    assert line.width <= full * 0.9


@pytest.mark.parametrize("width", [60, 150, 300])
def test_text_that_does_not_fit_ends_in_an_ellipsis_and_uses_its_room(width: int) -> None:
    line = fit_line(LONG, width, 20)
    assert line.text.endswith("…")
    assert LONG.startswith(line.text[:-1])
    assert width * 0.7 < line.width <= width


def test_line_breaks_do_not_tear_a_caption() -> None:
    assert fit_line("one\ntwo\t three", 1000, 20).text == "one two three"


@pytest.mark.parametrize("title", ["robin", LONG, "", "W" * 500])
def test_nothing_is_written_outside_the_margins_and_the_value_is_whole(title: str) -> None:
    bar = caption_bar(Caption(title, "97.3 %"), 300, 18, margin=12)
    alone = caption_bar(Caption("", "97.3 %"), 300, 18, margin=12)
    columns = ink(bar)
    assert columns.min() >= 11
    assert columns.max() <= 289
    start = ink(alone).min()
    np.testing.assert_array_equal(bar[:, start:], alone[:, start:])
    assert not (bar[:, start - 6 : start] < 250).any()


def test_accents_are_shown_or_left_out_but_never_boxes() -> None:
    assert fit_line("Fußgänger é", 1000, 20).text in ("Fußgänger é", "Fußganger e")


def test_letters_that_no_font_has_still_give_a_caption() -> None:
    assert len(ink(caption_bar(Caption("\U000e1000 汽车"), 300, 18, margin=12)))
