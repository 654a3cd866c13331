"""The chart of values: dots and lines where their numbers are."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.viz.axes import Axis
from onnxsal.viz.chart import Value, values

RED, BLUE = (220, 0, 0), (0, 0, 220)


def places(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of the pixels that are nearly of this colour."""
    return np.argwhere(np.abs(picture.astype(int) - colour).max(axis=2) < 40)


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
