"""Sound as a picture: the waveform in the colours of a map, the spectrogram with a map over it, axes beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxsal.viz.axes import Axis
from onnxsal.viz.blend import LIFTED, OPACITY
from onnxsal.viz.colour import DIVERGING, SEQUENTIAL, Pixels, colour_table, colourise, is_signed, levels_of
from onnxsal.viz.overlay import overlay, product
from onnxsal.viz.shades import shades

Values = NDArray[np.floating]

WIDTH, WAVE, BINS = 880, 220, 320
"""Pixels of the plot itself: across, and down of a waveform and of a spectrogram."""
_GROUND, _CURVE = (26, 27, 32), (112, 114, 122)
_LOUD = 0.95
"""Share of half the height that the loudest sample takes."""


@dataclass(frozen=True)
class Style:
    """How a map is shown: ``overlay``, ``heat`` or ``product``, by a colour map, so strong, with a sign or without."""

    kind: str = "overlay"
    colours: str | None = None
    opacity: float = OPACITY
    signed: bool = False


@dataclass(frozen=True)
class Scales:
    """What the axes of a picture show: the ends of time, and of a spectrogram where numbers stand along its bins."""

    time: tuple[float, float]
    time_title: str
    bins: Sequence[tuple[float, str]] = ()
    """Places from 0 (the lower edge of the first bin) up, and what stands there."""
    bins_title: str = ""


def waveform(samples: Values, saliency: Values | None, scales: Scales, style: Style) -> Pixels:
    """Return a picture, uint8 [h, w, 3], of samples [n], their curve in the colours of a map [T]; grey without one.

    A column of pixels shows all samples that lie in it, from the lowest to the highest, in the colour of the map where
    that is strongest.
    """
    strength = None if saliency is None else _strongest(np.asarray(saliency, np.float64), WIDTH)
    if style.kind == "heat" and strength is not None:
        across = np.repeat(strength[None], WAVE, axis=0)
        return _framed(colourise(across, style.colours, signed=style.signed), None, scales)
    if style.kind == "product" and saliency is not None:
        at = (np.arange(len(samples)) + 0.5) * len(saliency) / len(samples) - 0.5
        samples, strength = samples * np.abs(np.interp(at, np.arange(len(saliency)), saliency)), None
    return _framed(_curve(np.asarray(samples, np.float64), strength, style), _loudest(samples), scales)


def spectrogram(values: Values, saliency: Values | None, scales: Scales, style: Style) -> Pixels:
    """Return a picture, uint8 [h, w, 3], of values [F, T] in greys, low bins below, with a map of that size over it."""
    rows = (np.arange(BINS) + 0.5) * len(values) / BINS
    columns = (np.arange(WIDTH) + 0.5) * values.shape[1] / WIDTH
    grey = shades(values)[rows.astype(np.intp)[::-1]][:, columns.astype(np.intp)]
    if saliency is None:
        return _framed(grey, None, scales)
    upright = np.asarray(saliency, np.float32)[::-1]
    if style.kind == "overlay":
        shown = overlay(grey, upright, colours=style.colours, opacity=style.opacity, signed=style.signed)
    else:
        whole = upright[rows.astype(np.intp)][:, columns.astype(np.intp)]
        shown = colourise(whole, style.colours, signed=style.signed) if style.kind == "heat" else product(grey, whole)
    return _framed(shown, None, scales)


def _strongest(saliency: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Return a map [T] on so many columns: of the positions that lie in one the strongest, with its sign."""
    edges = np.arange(columns + 1) * len(saliency) / columns
    found = np.empty(columns)
    for at in range(columns):
        low = int(edges[at])
        own = saliency[low : max(int(np.ceil(edges[at + 1])), low + 1)]
        found[at] = own[np.abs(own).argmax()]
    return found


def _loudest(samples: Values) -> float:
    return float(np.abs(samples).max(initial=0.0)) or 1.0


def _curve(samples: NDArray[np.float64], strength: NDArray[np.float64] | None, style: Style) -> Pixels:
    """Return the curve alone on a dark ground: from the lowest to the highest sample of each column, joined to the
    next."""
    half, loudest = WAVE / 2, _loudest(samples)
    edges = np.arange(WIDTH + 1) * len(samples) / WIDTH
    rows = np.arange(WAVE)[:, None]
    low, high = np.empty(WIDTH), np.empty(WIDTH)
    for at in range(WIDTH):
        first = int(edges[at])
        own = samples[first : max(int(np.ceil(edges[at + 1])), first + 1) + 1]  # one more, so that the curve is whole
        low[at], high[at] = own.min(), own.max()
    top, bottom = (half - _LOUD * half * level / loudest for level in (high, low))
    inside = (rows >= np.floor(top)) & (rows <= np.maximum(np.ceil(bottom) - 1, np.floor(top)))
    picture = np.empty((WAVE, WIDTH, 3), np.uint8)
    picture[:] = _GROUND
    ink = np.broadcast_to(np.asarray(_CURVE, np.float64), (WIDTH, 3)) if strength is None else _inks(strength, style)
    picture[inside] = np.rint(np.broadcast_to(ink[None], picture.shape)[inside]).astype(np.uint8)
    return picture


def _inks(strength: NDArray[np.float64], style: Style) -> NDArray[np.float64]:
    """Return the colour of each column: grey where the map is 0, its own colour where it is strong."""
    spreads = style.signed or is_signed(strength)
    table = colour_table(style.colours or (DIVERGING if spreads else SEQUENTIAL)).astype(np.float64)
    share = (np.abs(strength) ** LIFTED)[:, None]
    own = table[levels_of(strength, spreads=spreads)]
    return np.asarray(_CURVE) * (1 - share) + own * share


def _framed(plot: Pixels, loudest: float | None, scales: Scales) -> Pixels:
    """Return a plot with its axes: time below, at the left the bins, or how loud it is."""
    from onnxsal.viz.agg import framed  # matplotlib is loaded where something is drawn alone

    amplitude = () if loudest is None else _amplitudes(loudest)
    left = scales.bins if scales.bins and loudest is None else amplitude
    title = scales.bins_title if scales.bins and loudest is None else "amplitude" if amplitude else ""
    return framed(plot, Axis(scales.time_title), scales.time, left, title)


def _amplitudes(loudest: float) -> Sequence[tuple[float, str]]:
    return tuple((0.5 + _LOUD * level / 2, f"{level * loudest:.2g}") for level in (-1, 0, 1))


Draw = Callable[[Values, Style], Pixels]
"""What draws a map in a style."""
