"""What a map of a sound is drawn on: its waveform or spectrogram, with axes in seconds and hertz as far as known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.modalities.audio.heard import Heard
from onnxsal.modalities.registry import Seen
from onnxsal.viz.colour import Pixels
from onnxsal.viz.sound import Draw, Scales, Style, spectrogram, waveform

Floats = NDArray[np.float32]

_ROUND = (1, 2, 5)
_APART = 1 / 14
"""Share of the height that lies between two numbers at least."""


def picture(x: Floats, heard: Heard) -> Callable[[], Seen]:
    """Return what makes the picture of a sound without a map."""
    return partial(_seen, x, heard)


def drawing(x: Floats, heard: Heard) -> Draw:
    """Return what draws a map of a sound, x [C, T] or [C, F, T]."""
    return partial(_drawn, x, heard)


def _seen(x: Floats, heard: Heard) -> Seen:
    image = _drawn(x, heard, None, Style())
    return Seen(image, (0.0, 0.0, float(image.shape[1]), float(image.shape[0])), image)


def _drawn(x: Floats, heard: Heard, saliency: Any, style: Style) -> Pixels:
    time = heard.ends(x.shape[-1])
    title = "seconds" if heard.rate else "samples"
    if x.ndim == 2:
        samples = heard.loudness if len(heard.wave) == x.shape[-1] else x.mean(0)
        return waveform(samples, saliency, Scales(time, title), style)
    ticks, bins = _bins(heard, x.shape[1])
    return spectrogram(x.mean(0), saliency, Scales(time, title, ticks, bins), style)


def _bins(heard: Heard, count: int) -> tuple[Sequence[tuple[float, str]], str]:
    """Return where numbers stand along the bins, from 0 to 1, and what they are: hertz where the rate is known."""
    cycles = np.asarray(heard.front.cycles if heard.front is not None else (), np.float64)
    if heard.rate is None or len(cycles) != count:
        step = max(count // 6, 1)
        return tuple(((k + 0.5) / count, str(k)) for k in range(0, count, step)), "bin"
    hertz = cycles * heard.rate
    order, places = np.argsort(hertz), (np.arange(count) + 0.5) / count
    known = [f for f in _rounds(hertz.max()) if hertz.min() <= f <= hertz.max()]
    found = list[tuple[float, str]]()
    for f in known:
        place = float(np.interp(f, hertz[order], places[order]))
        if all(abs(place - other) >= _APART for other, _ in found):
            found.append((place, f"{f:g}"))
    return tuple(found), "hertz"


def _rounds(most: float) -> list[float]:
    """Return round frequencies up to one, from the highest down: what is high has the room first."""
    tens = range(int(np.floor(np.log10(max(most, 1)))) + 1)
    fine = [factor * 10.0**n for n in tens for factor in _ROUND]
    even = [1000.0 * k for k in range(1, 100)]
    return sorted({f for f in (*fine, *even) if f <= most}, key=lambda f: (f not in fine, -f))
