"""Bars and beeswarms, read back: bars lead from the base value to the score, dots lie at their values."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.text import Text

from onnxsal.errors import UsageError
from onnxsal.viz.agg import Figure, pixels
from onnxsal.viz.columns.attribution import Attribution, Part, Swarm
from onnxsal.viz.columns.bar_figure import bars
from onnxsal.viz.columns.bars import bars as drawn_bars
from onnxsal.viz.columns.beeswarm import beeswarm as drawn_beeswarm
from onnxsal.viz.columns.page import fragment
from onnxsal.viz.columns.shades import sides
from onnxsal.viz.columns.swarm_figure import beeswarm, swarmed
from onnxsal.viz.columns.terminal import lines
from onnxsal.viz.words.page import Said
from onnxsal.viz.words.terminal import columns

LONG = "a name of a column that nobody would ever write, " * 4
PARTS = [Part("a", 0.5, "1", 0.1), Part("b", -2.0, ""), Part("나이 $x_1$", 1.25, "x & <y>"), Part(LONG, 0.25, LONG)]
WHOLE = Attribution(PARTS, 10.0, 10.0, "margin")


def texts(figure: Figure) -> list[str]:
    pixels(figure)
    return [each.get_text() for each in figure.findobj(Text) if each.get_visible() and each.get_text()]


def extents(figure: Figure) -> list[tuple[float, float]]:
    """From which value to which each bar leads, from top to bottom."""
    (axes,) = figure.axes
    return [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in sorted(axes.patches, key=lambda b: b.get_y())]


def test_bars_lead_from_the_base_value_to_the_score() -> None:
    found = bars(WHOLE, most=3, width=800, colours=None)
    assert extents(found) == [(12.0, 10.0), (10.75, 12.0), (10.0, 10.75)]
    lower, higher = ([part / 255 for part in side] for side in sides())
    shades = [bar.get_facecolor()[:3] for bar in found.axes[0].patches]
    np.testing.assert_allclose(sorted(shades), sorted([lower, higher, higher]))
    said = texts(found)
    assert {"score", "base value", "10", "-2", "+1.25", "b = (missing)", "2 other columns", "+0.75", "margin"} <= {
        *said
    }


@pytest.mark.parametrize(
    ("base", "score"), [(None, None), (1e9, 1e9)], ids=["without a base value", "too large for any bar to show"]
)
def test_bars_that_lead_nowhere_begin_at_zero(base: float | None, score: float | None) -> None:
    shown = Attribution([Part("a", 1.0, error=0.5), Part("b", -3.0), Part("c", math.nan)], base, score)
    found = bars(shown, most=9, width=800, colours=None)
    assert extents(found) == [(0, -3), (0, 1), (0, 0)]
    assert [0.5, 1.5] in [list(map(float, line.get_xdata())) for line in found.axes[0].lines]
    assert "-" in texts(found) and ("1000000000" in texts(found)) == (base is not None)


def test_a_score_that_the_parts_do_not_reach_stands_where_it_is() -> None:
    found = bars(Attribution([Part("a", 1.0)], 0.0, 3.0), most=9, width=800, colours=None)
    places = {tuple(map(float, line.get_xdata())) for line in found.axes[0].lines}
    assert (3.0, 3.0) in places and extents(found) == [(0, 1)]


@pytest.mark.parametrize("parts", [PARTS, [Part("a", 0.0)], [Part(f"c{i}", -1e-14 * i) for i in range(300)]])
def test_all_that_is_said_lies_in_the_picture(parts: list[Part]) -> None:
    figure = bars(Attribution(parts, 0.0, sum(part.value for part in parts)), most=16, width=700, colours=None)
    drawn = pixels(figure)
    for edge in (drawn[:2], drawn[-2:], drawn[:, :2], drawn[:, -2:]):
        assert (edge == 255).all()
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(names) == min(len(parts), 16) + 2
    assert not any(name.startswith(LONG[:6]) and LONG[:6] not in name.split("=")[1] for name in names)


def test_dots_lie_at_their_values_in_the_colours_of_their_cells() -> None:
    values = np.array([[1.0, -5, 0.1], [2, 4, 0.2], [3, -3, 0.3], [4, np.nan, 0.4]])
    cells = np.array([[10.0, np.nan, 5], [30, np.nan, 5], [20, np.nan, 5], [40, np.nan, 5]])
    (axes,) = beeswarm(Swarm(["a", "b", "c"], values, cells), most=9, width=800, colours="gray").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a", "c"]  # of mean sizes 3, 2.5 and 0.25
    b, a, c = axes.collections
    np.testing.assert_allclose(a.get_offsets(), [(1, 1), (2, 1), (3, 1), (4, 1)])
    np.testing.assert_array_equal(np.argsort(a.get_facecolors()[:, 0]), [0, 2, 1, 3])
    assert b.get_offsets()[:, 0].tolist() == [-5, 4, -3] and len(np.unique(b.get_facecolors(), axis=0)) == 1
    assert np.ptp(c.get_facecolors()[:, 0]) == 0


def test_dots_at_one_place_are_seen_apart_while_there_is_room() -> None:
    places = np.repeat([3.2, 7.9], 5)
    beside = swarmed(places, 9)
    assert sorted(beside[:5]) == sorted(beside[5:]) == [-2, -1, 0, 1, 2]
    assert abs(swarmed(np.zeros(500), 9)).max() == 4


def test_a_swarm_says_how_many_rows_it_shows() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2500, 30)) * np.linspace(1, 0.1, 30)
    figure = beeswarm(Swarm([f"c{at}" for at in range(30)], values, values), most=4, width=800, colours=None)
    assert {"2,000 of 2,500 rows", "27 other columns", "mean |value|", f"{np.abs(values[:, 0]).mean():.4g}"} <= {
        *texts(figure)
    }
    others = figure.axes[0].collections[-1].get_offsets()[:, 0]
    assert others[0] == pytest.approx(values[0, 3:].sum()) and others[-1] == pytest.approx(values[-1, 3:].sum())


def test_nothing_is_refused_and_one_of_each_is_drawn() -> None:
    nothing = np.zeros((0, 2))
    with pytest.raises(UsageError, match="at least one column"):
        drawn_bars(Attribution([]))
    with pytest.raises(UsageError, match=r"needs rows and columns; got \[0, 2\]"):
        drawn_beeswarm(Swarm(["a", "b"], nothing, nothing))
    one = np.zeros((1, 1))
    assert drawn_beeswarm(Swarm(["a"], one, one)).shape[1] == drawn_bars(Attribution([Part("a", 0.0)])).shape[1] == 880


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("depth", [None, "256", "true"])
def test_lines_of_a_terminal(width: int, depth: str | None) -> None:
    found = lines(WHOLE, width=width, depth=depth)  # type: ignore[arg-type]
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in found]
    assert all(columns(line) <= width for line in plain)
    assert [line.split()[0] for line in plain] == ["score", "b", "나이", "a", "a", "base"]
    assert "(missing)" in plain[1] and ("x & <y>" in plain[2] or width == 40)
    if width > 40:
        sizes = [8 * line.count("█") + sum(" ▏▎▍▌▋▊▉".index(c) for c in line if c in "▏▎▍▌▋▊▉") for line in plain[1:5]]
        assert sizes[:2] == [pytest.approx(share * sizes[0], abs=1) for share in (1, 0.625)]
    assert (found == plain) == (depth is None or width == 40)  # which leaves no room for bars
    assert "#" in "".join(lines(WHOLE, width=80, blocks=False)) and "█" not in "".join(lines(WHOLE, blocks=False))


def test_a_page_holds_what_a_document_may_hold_and_bars_that_meet_at_zero() -> None:
    found = fragment(WHOLE, Said("<title>", "9 %", "detail"))
    assert "x &amp; &lt;y&gt;" in found and "&lt;title&gt;" in found and "<script" not in found
    bar = re.findall(r'class="(up|down)" style="margin-left:([\d.]+)%;width:([\d.]+)%"', found)
    ends = [(kind, float(left), float(left) + float(wide)) for kind, left, wide in bar]
    zero = 100 * 2 / 3.25
    assert [end if kind == "down" else start for kind, start, end in ends] == pytest.approx([zero] * 4, abs=0.02)
    assert ends[0][1] == 0 and max(end for *_, end in ends) == pytest.approx(100, abs=0.02)
    opened: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: opened.append(tag)  # type: ignore[method-assign]
    parser.handle_endtag = lambda tag: opened.pop() == tag or pytest.fail(tag)  # type: ignore[method-assign]
    parser.feed(found)
    assert not opened
