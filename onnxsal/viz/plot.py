"""Plots for pictures: curves with bands, values with intervals; matplotlib draws them, and is loaded with the first."""

from __future__ import annotations

from collections.abc import Sequence

from onnxsal.viz.axes import Axis, Colour, Curve, Value
from onnxsal.viz.colour import Pixels

__all__ = ["Axis", "Colour", "Curve", "Value", "curves", "values"]


def curves(lines: Sequence[Curve], *, x: Axis, y: Axis, title: str = "", size: tuple[int, int] = (520, 340)) -> Pixels:
    """Return a plot of curves, uint8 [h, w, 3]; each is named at its right end, in its own colour.

    Args: size: width and height in pixels, with everything.
    Raises: UsageError: there is no point to draw, or a logarithmic axis has one at 0 or below.
    EnvironmentSetupError: matplotlib finds no folder to write to.
    """
    from onnxsal.viz import agg, figures

    return agg.pixels(figures.curves(lines, x=x, y=y, title=title, size=size))


def values(rows: Sequence[Value], *, x: Axis, title: str = "", width: int = 640) -> Pixels:
    """Return a chart of values with their intervals, a row each, uint8 [h, w, 3].

    Raises: UsageError: no value is finite. EnvironmentSetupError: matplotlib finds no folder to write to.
    """
    from onnxsal.viz import agg, figures

    return agg.pixels(figures.values(rows, x=x, title=title, width=width))
