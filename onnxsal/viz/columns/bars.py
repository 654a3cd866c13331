"""Bars of one row: each column's part in the score, the largest first, from the base value up to the score."""

from __future__ import annotations

from onnxsal.viz.colour import Pixels
from onnxsal.viz.columns.attribution import Attribution

MOST = 16
"""Columns that have a bar of their own, by default; the others share one."""


def bars(shown: Attribution, *, most: int = MOST, width: int = 880, colours: str | None = None) -> Pixels:
    """Return the bars of one row, uint8 [h, w, 3].

    Where the parts add up, each bar begins where the one below it ends: at the bottom is the base value, at the top
    the score. Else, and where the base value is so large that no bar would show, all begin at 0.
    Args: most: bars, the last one of all further columns together. colours: a diverging colour map by name.
    Raises: UsageError: there is no part. EnvironmentSetupError: matplotlib finds no folder to write to.
    """
    from onnxsal.viz import agg
    from onnxsal.viz.columns import bar_figure

    return agg.pixels(bar_figure.bars(shown, most=most, width=width, colours=colours))
