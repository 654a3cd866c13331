"""Axes: numbers that a person reads, and names that do not lie on each other."""

from __future__ import annotations

import pytest

from onnxsal.viz.axes import Axis, spread, ticks_of


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ((0.58, 0.64), [0.58, 0.6, 0.62, 0.64]),
        ((-1, 1), [-1, -0.5, 0, 0.5, 1]),
        ((0, 38.4), [0, 10, 20, 30]),
        ((-1e-14, 1e-14), [-1e-14, -5e-15, 0, 5e-15, 1e-14]),
    ],
)
def test_ticks_are_round_and_few(ends: tuple[float, float], expected: list[float]) -> None:
    assert ticks_of(Axis(), ends) == pytest.approx(expected, abs=0)


def test_named_ticks_are_taken() -> None:
    assert ticks_of(Axis(ticks=(1, 5, 50)), (1, 50)) == [1, 5, 50]


def test_names_are_pushed_apart_and_stay_inside() -> None:
    assert spread([10, 12, 40], 18, (0, 100)) == [10, 28, 46]
    assert spread([80, 95, 96], 18, (0, 100)) == [64, 82, 100]
    assert spread([10, 50], 18, (0, 100)) == [10, 50]
