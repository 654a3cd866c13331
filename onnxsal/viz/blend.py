"""A map's colours over a photograph, pixel by pixel: strip by strip and plane by plane, so that it stays in the cache.

Dense products would do it in fewer lines, and wake a thread of the linear algebra library on each core for a picture
that one of them blends in the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsal.viz.colour import DIVERGING, SEQUENTIAL, Pixels, colour_table, is_signed, levels_of

Floats = NDArray[np.float32]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
FADED = 0.45  # share of colour taken away where the map is low, so that the map's own colours stand out
DARKER = 0.88
LIFTED = 0.8  # lets the middle of the map show: thin lines of a gradient are seldom at its top
OPACITY = 0.65
_STRIP = 30_000
"""Pixels at a time."""
_STEPS = 4096


class Side(NamedTuple):
    """Where a map lies along one side of a photograph: ``first`` to ``end`` are the pixels that it covers.

    Each of them lies between the samples ``low`` and ``high`` of the map, ``share`` of the way to the second.
    """

    first: int
    end: int
    low: NDArray[np.intp]
    high: NDArray[np.intp]
    share: Floats


def side(pixels: int, start: float, length: float, samples: int) -> Side:
    """Return where a map of so many samples lies on a side of so many pixels: linear between half-pixel centres.

    Args: start, length: of the map, in pixels of the photograph; it may reach beyond that.
    """
    place = (np.arange(pixels) + 0.5 - start) / length
    covered = np.flatnonzero((place >= 0) & (place <= 1))
    first, end = (int(covered[0]), int(covered[-1]) + 1) if len(covered) else (0, 0)
    centre = (place[first:end] * samples - 0.5).clip(0, samples - 1)
    low = np.floor(centre).astype(np.intp)
    return Side(first, end, low, np.minimum(low + 1, samples - 1), (centre - low).astype(np.float32))


def spread(saliency: Floats, rows: Side, columns: Side) -> Floats:
    """Return a map [H, W] on the pixels of a photograph that it covers."""
    wide = _between(saliency[:, columns.low], saliency[:, columns.high], columns.share)
    return _between(wide[rows.low], wide[rows.high], rows.share[:, None])


def _between(first: Floats, second: Floats, share: Floats) -> Floats:
    second -= first
    second *= share
    second += first
    return second


def mix(photo: Pixels, saliency: Floats, opacity: float, *, colours: str | None, signed: bool) -> Pixels:
    """Return a map's colours over a photograph of its size, uint8 [h, w, 3]; arguments as of ``overlay``.

    The picture is c + (colour - c) a, where c = f + (photo - f) s is faded, f the photograph greyed and darkened, s the
    strength of the map, and a = opacity * s ** LIFTED. Of photograph, its grey and colour that is a weight each.
    """
    spreads, drawn = signed or is_signed(saliency), np.empty_like(photo)
    table = colour_table(colours or (DIVERGING if spreads else SEQUENTIAL)).T.astype(np.float32)
    for strip in _strips(saliency.shape):
        _mix(photo[strip], saliency[strip], (table, opacity, spreads), drawn[strip])
    return drawn


def _mix(photo: Pixels, saliency: Floats, style: tuple[Floats, float, bool], drawn: Pixels) -> None:
    table, opacity, spreads = style
    level, strength = levels_of(saliency, spreads=spreads), np.abs(saliency)
    shown = opacity * lifted(strength)
    stays, low = 1 - shown, 1 - strength
    own = stays * (strength + low * np.float32(DARKER * (1 - FADED)))
    planes = [np.asarray(photo[..., channel], np.float32) for channel in range(3)]
    grey = stays * low * np.float32(DARKER * FADED) * _grey(planes)
    for channel, plane in enumerate(planes):
        plane *= own
        plane += grey
        plane += shown * table[channel].take(level)
        drawn[..., channel] = np.rint(plane, out=plane).clip(0, 255)


def lifted(strength: Floats) -> Floats:
    """Return strength ** LIFTED for strengths from 0 to 1, between the powers of 4096 steps: within .00011.

    That is a fiftieth of a level. The power itself takes as long as all else that is done to a pixel, on processors
    without AVX-512.
    """
    powers, rises = _powers()
    above = strength * np.float32(_STEPS)
    step = np.trunc(above)
    above -= step
    at = step.astype(np.intp)
    above *= rises.take(at, mode="clip")
    above += powers.take(at, mode="clip")
    return above


@cache
def _powers() -> tuple[Floats, Floats]:
    """Return the powers of the steps, and how far each is below the next; one step more, since 1 is a step itself."""
    powers = (np.arange(_STEPS + 2) / _STEPS) ** LIFTED
    return powers[:-1].astype(np.float32), np.diff(powers).astype(np.float32)


def _grey(planes: list[Floats]) -> Floats:
    grey: Floats = planes[0] * LUMA[0]
    for plane, weight in zip(planes[1:], LUMA[1:], strict=True):
        grey += plane * weight
    return grey


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Return the rows of a picture [h, w, ...] that are drawn together, in turn."""
    rows = max(1, _STRIP // max(1, shape[1]))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def dimmed(photo: Pixels, brightness: float) -> Pixels:
    """Return a photograph with less colour and less light."""
    drawn = np.empty_like(photo)
    for strip in _strips(photo.shape):
        planes = [np.asarray(photo[strip, :, channel], np.float32) for channel in range(3)]
        grey = _grey(planes) * np.float32(FADED * brightness)
        for channel, plane in enumerate(planes):
            drawn[strip, :, channel] = np.rint(plane * np.float32((1 - FADED) * brightness) + grey)
    return drawn
