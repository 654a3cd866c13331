"""The two colours of bars: of what lowers a score, and of what raises it."""

from __future__ import annotations

from onnxsal.viz.colour import DIVERGING, colour_table
from onnxsal.viz.words.shades import Rgb

_ENDS = (38, 217)
"""Of a colour map's 256: the last ones of a diverging map are nearly black."""


def sides(colours: str | None = None) -> tuple[Rgb, Rgb]:
    """Return the colour of what lowers a score, and that of what raises it. Args: colours: a diverging colour map."""
    lower, higher = ((int(r), int(g), int(b)) for r, g, b in colour_table(colours or DIVERGING)[list(_ENDS)])
    return lower, higher


__all__ = ["Rgb", "sides"]
