"""Plots: what is drawn where, in which colour, and numbers that a person reads."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.viz.plot import Axis, Curve, Value, curves, values

RED, BLUE = (220, 0, 0), (0, 0, 220)
TOP, BOTTOM = 2 * 14 + 20, 300 - round(3.4 * 14)
"""The frame's edges in a plot of curves that is 300 pixels high."""


def places(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of the pixels that are nearly of this colour."""
    return np.argwhere(np.abs(image.astype(int) - colour).max(axis=2) < 40)


def test_lines_lie_where_their_numbers_say() -> None:
    lines = [Curve("", (0, 1), (0.25, 0.25), colour=RED), Curve("", (0, 1), (0.75, 0.75), colour=BLUE)]
    plot = curves(lines, x=Axis(), y=Axis("", 0, 1), size=(400, 300))
    low, high = (places(plot, colour) for colour in (RED, BLUE))
    assert low[:, 0].mean() == pytest.approx(BOTTOM - 0.25 * (BOTTOM - TOP), abs=1)
    assert high[:, 0].mean() == pytest.approx(BOTTOM - 0.75 * (BOTTOM - TOP), abs=1)
    assert np.ptp(low[:, 0]) <= 3
    assert np.ptp(low[:, 1]) > 300


def test_a_logarithmic_axis_spaces_powers_evenly() -> None:
    line = Curve("", (1, 10, 100), (0, 1, 0), colour=RED)
    plot = curves([line], x=Axis(scale="log"), y=Axis("", 0, 1), size=(400, 300))
    found = places(plot, RED)
    peak = found[found[:, 0] == found[:, 0].min()][:, 1].mean()
    assert peak == pytest.approx((found[:, 1].min() + found[:, 1].max()) / 2, abs=3)


def test_what_lies_beyond_the_axis_stays_at_its_end() -> None:
    line = Curve("", (0, 1), (0.5, 0.5), (-9, -9), (9, 9), colour=RED)
    plot = curves([line], x=Axis(), y=Axis("", 0, 1), size=(400, 300))
    assert (plot[: TOP - 4, 60:] == 255).all()


@pytest.mark.parametrize("at", [0, 1])
def test_a_line_on_the_edge_is_as_thick_as_any(at: float) -> None:
    """Neither of the two pixels of a line at the end of the axis is cut off."""
    line = Curve("", (0, 1), (at, at), colour=RED)
    plot = curves([line], x=Axis(), y=Axis("", 0, 1), size=(400, 300))
    assert len(set(places(plot, RED)[:, 0])) == 2


def test_nan_leaves_a_gap_and_nothing_at_all_is_refused() -> None:
    line = Curve("", range(5), (0, 0, math.nan, 1, 1), colour=RED)
    plot = curves([line], x=Axis(), y=Axis("", 0, 1), size=(400, 300))
    columns = set(places(plot, RED)[:, 1])
    left, right = min(columns), max(columns)
    middle = range(round(left + 0.27 * (right - left)), round(left + 0.73 * (right - left)))
    assert not columns & set(middle)
    with pytest.raises(UsageError, match="nothing to plot"):
        curves([Curve("a", (0,), (float("nan"),))], x=Axis(ticks=()), y=Axis())
    with pytest.raises(UsageError, match="logarithmic axis starts above 0; got 0"):
        curves([Curve("a", (0, 1), (1, 1))], x=Axis(scale="log"), y=Axis())


@pytest.mark.parametrize("y", [(0.5,), (0.5, math.nan, math.nan), (math.inf, 0.5)])
def test_a_point_without_neighbours_is_seen(y: tuple[float, ...]) -> None:
    plot = curves([Curve("", range(len(y)), y, colour=RED)], x=Axis(), y=Axis("", 0, 1), size=(400, 300))
    found = places(plot, RED)
    assert 20 < len(found) < 60
    assert found[:, 0].mean() == pytest.approx((TOP + BOTTOM - 1) / 2, abs=0.6)


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.5, 0.8])
def test_dots_lie_on_their_line_to_a_part_of_a_pixel(offset: float) -> None:
    at = 0.5 + offset / (BOTTOM - TOP)
    plot = curves([Curve("", (0, 1), (at, at), colour=RED, dots=True)], x=Axis(), y=Axis("", 0, 1), size=(400, 300))
    redness = (plot[..., 0].astype(float) - plot[..., 1])[:, 25:40].clip(0)  # the dot's, mostly
    assert (redness.sum(axis=1) @ np.arange(300)) / redness.sum() == pytest.approx(
        BOTTOM - at * (BOTTOM - TOP) - 0.5, abs=0.2
    )


def test_equal_plots_are_equal_to_the_byte() -> None:
    made = [
        curves([Curve("a $b$ 고양이", (1, 2), (0.2, 0.7), (0.1, 0.3), (0.4, 0.8))], x=Axis(), y=Axis()) for _ in "ab"
    ]
    assert made[0].tobytes() == made[1].tobytes()


def test_a_value_that_is_not_known_has_no_dot_and_equal_ones_end_at_the_axis() -> None:
    rows = [Value("a", float("nan"), float("nan"), float("nan"), RED), Value("b", 1.0, 1.0, 1.0, BLUE)]
    chart = values(rows, x=Axis("", None, 1), width=600)
    assert not len(places(chart, RED))
    assert places(chart, BLUE)[:, 1].max() > 400  # 1 is the right end, not the middle


def test_values_lie_on_their_axis_with_their_intervals() -> None:
    rows = [Value("a", 0.5, 0.25, 0.75, RED), Value("b", 0.0, 0.0, 1.0, BLUE)]
    chart = values(rows, x=Axis("", 0, 1), width=600)
    a, b = (places(chart, colour)[:, 1] for colour in (RED, BLUE))
    whole = b.max() - (b.min() + 4)  # from the middle of the dot at 0 to the end at 1
    assert (a.max() - a.min()) / whole == pytest.approx(0.5, abs=0.02)
    assert (a.min() + a.max()) / 2 == pytest.approx((b.min() + 4 + b.max()) / 2, abs=3)
