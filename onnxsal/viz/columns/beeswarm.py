"""A beeswarm of many rows: a dot for each value of each column, coloured by what stood in the cell."""

from __future__ import annotations

from onnxsal.viz.colour import Pixels
from onnxsal.viz.columns.attribution import Swarm

MOST = 20
"""Columns that have a line of their own, by default; the others share one."""


def beeswarm(shown: Swarm, *, most: int = MOST, width: int = 880, colours: str | None = None) -> Pixels:
    """Return a beeswarm, uint8 [h, w, 3]: the columns of the largest values above, as each value has a dot.

    A dot's colour is where its cell lies between the column's lowest and highest (the middle nine tenths of them, so
    that one outlier leaves the others their colours); grey where the cell is text, or missing, or of several columns.
    Of more than 2000 rows so many are drawn, evenly from first to last, and the picture says so.
    Args: colours: a colour map by name.
    Raises: UsageError: there is no row, or no column. EnvironmentSetupError: matplotlib finds no folder to write to.
    """
    from onnxsal.viz import agg
    from onnxsal.viz.columns import swarm_figure

    return agg.pixels(swarm_figure.beeswarm(shown, most=most, width=width, colours=colours))
