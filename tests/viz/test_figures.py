"""The figures behind the plots, read back: numbers are the data's, text is whole and inside."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Text

from onnxsal.viz import text as module
from onnxsal.viz.agg import Figure, pixels
from onnxsal.viz.figures import curves, values
from onnxsal.viz.plot import Axis, Curve, Value

LONG = "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"
NAMES = [
    "grad-cam",
    "$x_1$ and $5",
    "고양이",
    "三毛猫 ネコ",
    "Fußgänger",
    LONG,
    "a" * 99,
    "a\nb",
    "photo[1].jpg",
    r"\frac{",
]


def written(figure: Figure) -> list[Text]:
    """The texts that a figure shows; it is drawn, so that they have their places."""
    pixels(figure)
    texts = (each for each in figure.findobj(Text) if isinstance(each, Text))
    return [each for each in texts if each.get_visible() and each.get_text()]


def line(label: str = "", **given: object) -> Figure:
    curve = Curve(label, (1, 2, 4), (0.25, 0.5, 0.125), (0.125, 0.25, 0.0), (0.5, 0.75, 0.25))
    return curves([curve], **{"x": Axis(), "y": Axis("", 0, 1), "title": "", "size": (400, 300), **given})


def test_the_numbers_of_curves_are_those_of_the_data() -> None:
    (axes,) = line("a", x=Axis(scale="log")).axes
    (drawn,), (band,) = axes.lines, axes.collections
    assert drawn.get_label() == "a"
    np.testing.assert_array_equal(drawn.get_xydata(), [(1, 0.25), (2, 0.5), (4, 0.125)])
    corners = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(1, 0.125), (2, 0.25), (4, 0.0), (1, 0.5), (2, 0.75), (4, 0.25)}
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert (axes.get_xlim(), axes.get_ylim()) == (pytest.approx((1, 4)), (0, 1))


def test_the_numbers_of_values_are_those_of_the_data() -> None:
    rows = [Value("a", 0.5, 0.25, 0.75), Value("b", math.nan, math.nan, math.nan), Value("c", 0.2, 0.1, 0.9)]
    figure = values(rows, x=Axis("", 0, 1), title="", width=600)
    drawn = [each.get_xydata().tolist() for each in figure.axes[0].lines]
    assert drawn == [[[0.25, 0], [0.75, 0]], [[0.5, 0]], [[0.1, 2], [0.9, 2]], [[0.2, 2]]]
    said = [each.get_text() for each in written(figure)]
    for text in ("a", "b", "c", "0.50 (0.25 to 0.75)", "-", "0.20 (0.10 to 0.90)"):
        assert text in said


def test_curves_are_named_in_their_colours() -> None:
    lines = [Curve(name, (0, 1), (0.1 * at, 0.1 * at)) for at, name in enumerate("abcdefgh")]
    figure = curves(lines, x=Axis(), y=Axis(), title="", size=(400, 300))
    colours = {each.get_label(): each.get_color() for each in figure.axes[0].lines}
    said = {each.get_text(): each.get_color() for each in written(figure) if each.get_text() in colours}
    assert said == colours
    assert len(set(list(colours.values())[:7])) == 7


def assert_inside(figure: Figure) -> None:
    renderer = figure.canvas.get_renderer()
    for each in written(figure):
        box = each.get_window_extent(renderer)
        assert box.x0 >= -0.5 and box.x1 <= figure.bbox.width + 0.5, each.get_text()
        assert box.y0 >= -3 and box.y1 <= figure.bbox.height + 5, each.get_text()  # the font's, not the letters'


@pytest.mark.parametrize("name", NAMES)
def test_every_label_lies_inside(name: str) -> None:
    assert_inside(line(name, title=name, x=Axis(name), y=Axis(name)))
    rows = [Value(name, -123.4, -200.0, -1.25), Value("b", 1e5, -3e6, 2e7)]
    assert_inside(values(rows, x=Axis(name), title=name, width=560))


def test_names_of_curves_that_end_together_do_not_meet() -> None:
    lines = [Curve(f"curve {at}", (0, 1), (0, 1)) for at in range(5)]
    figure = curves(lines, x=Axis(), y=Axis(), title="", size=(400, 300))
    heights = sorted(each.get_position()[1] for each in written(figure) if each.get_text().startswith("curve"))
    assert min(b - a for a, b in pairwise(heights)) >= 18


@pytest.mark.parametrize("name", ["$x_1$", "$5 to $6", r"$\frac{1}{2}$", "a_b^c", r"\$", "$"])
def test_dollars_are_dollars(name: str) -> None:
    found = [each for each in written(line(name, title=name, x=Axis(name), y=Axis(name))) if each.get_text() == name]
    assert len(found) == 4
    figure = values([Value(name, 1, 1, 1)], x=Axis(name), title=name, width=600)
    assert len([each for each in written(figure) if each.get_text() == name]) == 3


@pytest.mark.parametrize(("name", "shown"), [("고양이", "go-yang-i"), ("ネコ", "ne-ko"), ("猫", "U+732B")])
def test_where_no_font_has_the_letters_they_are_spelt_out(
    monkeypatch: pytest.MonkeyPatch, name: str, shown: str
) -> None:
    monkeypatch.setattr(module, "_SYSTEM_FONTS", ())
    assert [each.get_text() for each in written(line(name))].count(shown) == 1
    figure = values([Value(name, 1, 1, 1)], x=Axis(), title="", width=600)
    assert [each.get_text() for each in written(figure)].count(shown) == 1


def test_numbers_stand_between_the_ends_of_their_axis() -> None:
    figure = line(x=Axis("", 1, 4, "log", (0.1, 1, 2, 4, 8)))
    (axes,) = figure.axes
    pixels(figure)
    assert [each.get_text() for each in axes.get_xticklabels()] == ["1", "2", "4"]
    assert axes.get_xlim() == pytest.approx((1, 4))
