"""Captions are whole, or say with an ellipsis that they are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from onnxsal.viz import text as module
from onnxsal.viz.caption import INK, PALE, PAPER, Caption, caption_bar, with_caption
from onnxsal.viz.text import fit_line

IMAGE = np.full((50, 300, 3), 77, np.uint8)
LONG = "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"


def ink(bar: np.ndarray) -> np.ndarray:
    """The columns in which something is written."""
    return np.nonzero((bar < 250).any(axis=(0, 2)))[0]


def test_the_picture_stays_and_the_bar_is_below() -> None:
    captioned = with_caption(IMAGE, Caption("robin", "97 %", "grad-cam"))
    np.testing.assert_array_equal(captioned[:50], IMAGE)
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


@pytest.mark.parametrize("text", ["AV fi Fußgänger é", "l. j_ fjg", "…", "고양이 ネコ"])
def test_lines_are_what_pillow_draws_the_first_time_and_when_they_are_remembered(text: str) -> None:
    plain = Image.new("RGB", (400, round(20 * 2.05 + 15 * 1.25)), PAPER)
    title, value, detail = (fit_line(text, 400, size) for size in (20, 20, 15))
    for line, x, y, colour, anchor in (
        (title, 7, 26, INK, "ls"),
        (value, 393, 26, INK, "rs"),
        (detail, 7, 48, PALE, "ls"),
    ):
        ImageDraw.Draw(plain).text((x, y), line.text, colour, line.font, anchor)
    for _ in range(2):
        bar = caption_bar(Caption(text, text, text), 400, 20, margin=7)
        np.testing.assert_array_equal(bar, np.asarray(plain))


def test_accents_are_shown_or_left_out_but_never_boxes() -> None:
    assert fit_line("Fußgänger é", 1000, 20).text in ("Fußgänger é", "Fußganger e")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("고양이", "go-yang-i"),
        ("ねこ", "ne-ko"),
        ("ネコ 3", "ne-ko 3"),
        ("시베리안 허스키 (dog)", "si-be-ri-an heo-seu-ki (dog)"),
        ("猫", "U+732B"),
        ("\U000e1000", "U+E1000"),
    ],
)
def test_letters_that_no_font_has_are_spelt_out(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    monkeypatch.setattr(module, "_SYSTEM_FONTS", ())
    line = fit_line(text, 1000, 20)
    assert line.text == shown
    assert all(module._has("", letter) for letter in line.text)


@pytest.mark.parametrize("text", ["고양이", "三毛猫 ネコ", "汽车 \U000e1000"])
def test_no_letter_is_a_box_whatever_fonts_there_are(text: str) -> None:
    line = fit_line(text, 1000, 20)
    missing = bytes(line.font.getmask("\U0010fffe"))
    assert missing not in [bytes(line.font.getmask(letter)) for letter in line.text]
    assert len(ink(caption_bar(Caption(text), 300, 18, margin=12)))
