"""Plots: what is drawn where, in which colour, and numbers that a person reads."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.viz.axes import Axis, ticks_of
from onnxsal.viz.plot import Curve, curves, spread

RED, BLUE = (220, 0, 0), (0, 0, 220)


def places(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of the pixels that are nearly of this colour."""
    return np.argwhere(np.abs(picture.astype(int) - colour).max(axis=2) < 40)


def test_lines_lie_where_their_numbers_say() -> None:
    lines = [Curve("", (0, 1), (0.25, 0.25), colour=RED), Curve("", (0, 1), (0.75, 0.75), colour=BLUE)]
    plot = curves(lines, x=Axis(), y=Axis("", 0, 1), size=(400, 300))
    low, high = (places(plot, colour) for colour in (RED, BLUE))
    top, bottom = 2 * 14 + 20, 300 - round(3.4 * 14)
    assert low[:, 0].mean() == pytest.approx(bottom - 0.25 * (bottom - top), abs=1.5)
    assert high[:, 0].mean() == pytest.approx(bottom - 0.75 * (bottom - top), abs=1.5)
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
    assert (plot[: 2 * 14 + 16, 60:] == 255).all()


def test_nan_leaves_a_gap_and_nothing_at_all_is_refused() -> None:
    line = Curve("a", (0, 1, 2), (0, float("nan"), 1), colour=RED)
    assert len(places(curves([line], x=Axis(), y=Axis()), RED))
    with pytest.raises(UsageError, match="nothing to plot"):
        curves([Curve("a", (0,), (float("nan"),))], x=Axis(ticks=()), y=Axis())
    with pytest.raises(UsageError, match="logarithmic axis starts above 0; got 0"):
        curves([Curve("a", (0, 1), (1, 1))], x=Axis(scale="log"), y=Axis())


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ((0.58, 0.64), [0.58, 0.6, 0.62, 0.64]),
        ((-1, 1), [-1, -0.5, 0, 0.5, 1]),
        ((0, 38.4), [0, 10, 20, 30]),
    ],
)
def test_ticks_are_round_and_few(ends: tuple[float, float], expected: list[float]) -> None:
    assert ticks_of(Axis(), ends) == pytest.approx(expected)


def test_named_ticks_are_taken() -> None:
    assert ticks_of(Axis(ticks=(1, 5, 50)), (1, 50)) == [1, 5, 50]


def test_names_are_pushed_apart_and_stay_inside() -> None:
    assert spread([10, 12, 40], 18, (0, 100)) == [10, 28, 46]
    assert spread([80, 95, 96], 18, (0, 100)) == [64, 82, 100]
    assert spread([10, 50], 18, (0, 100)) == [10, 50]
