"""Colours for maps: perceptually uniform ones, from cmap's catalogue."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError, nearest

Pixels = NDArray[np.uint8]

SEQUENTIAL = "inferno"
DIVERGING = "vik"
_LEVELS = 256


@cache
def colour_table(name: str) -> Pixels:
    """Return the colours of a map by name, uint8 [256, 3], from its low end to its high end; ``_r`` turns it round.

    Raises: UsageError: cmap has no colour map of that name.
    """
    from cmap import Catalog, Colormap  # a tenth of a second that only drawing needs

    catalogue = Catalog()
    plain, step = (name[:-2], -1) if name.endswith("_r") else (name, 1)
    try:
        # The full name: cmap warns about short ones that several palettes share.
        full = catalogue.resolve(plain)
    except KeyError:
        known = catalogue.short_keys()
        raise UsageError(f"no colour map {name!r}{nearest(name, known)}; cmap's catalogue has them all") from None
    levels: Pixels = np.rint(np.asarray(Colormap(full).lut(_LEVELS))[::step, :3] * 255).astype(np.uint8)
    return levels


def colourise(saliency: NDArray[Any], colours: str | None = None, *, signed: bool = False) -> Pixels:
    """Return the map as a picture, uint8 [H, W, 3].

    Args:
        saliency: [H, W] in [0, 1], or in [-1, 1] where it is signed; values beyond are clipped.
        colours: a name of cmap's; by default a sequential one, or for a signed map a diverging one.
        signed: whether the map may have negative values, so that its colours spread from the middle; one that has some
            is signed in any case.
    """
    spreads = signed or is_signed(saliency)
    table = colour_table(colours or (DIVERGING if spreads else SEQUENTIAL))
    image: Pixels = table[levels_of(saliency, spreads=spreads)]
    return image


def levels_of(saliency: NDArray[Any], *, spreads: bool) -> NDArray[np.intp]:
    """Return which row of a table of colours each value has. Args: spreads: from the middle, as signed ones do."""
    exact = np.asarray(saliency, np.float64)
    share = (exact + 1) / 2 if spreads else exact
    levels: NDArray[np.intp] = np.rint(share.clip(0, 1) * (_LEVELS - 1)).astype(np.intp)
    return levels


def is_signed(saliency: NDArray[Any]) -> bool:
    """Return whether the map has negative values, so that its colours spread from the middle."""
    return bool((np.asarray(saliency) < 0).any())
