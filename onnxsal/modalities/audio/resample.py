"""Bringing a sound to another rate: up by one whole number, down by another, through one low-pass filter between."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_CROSSINGS = 10
"""Zero crossings of the filter's sinc on each side, counted at the lower of the two rates."""
_BETA = 5.0
"""Of the Kaiser window: side lobes 50 dB below."""


def resample(samples: Doubles, before: int, after: int) -> Doubles:
    """Return samples [n] at another rate, [ceil(n after / before)]: a polyphase filter of linear phase.

    The filter is a sinc under a Kaiser window whose edge lies at the lower of the two Nyquist frequencies; beyond both
    ends is silence, and the first sample stays in its place.
    """
    common = math.gcd(before, after)
    up, down = after // common, before // common
    if up == down or not len(samples):
        return np.array(samples, np.float64)
    half = _CROSSINGS * max(up, down)
    taps = _low_pass(half, 1 / max(up, down)) * up
    count = -(-len(samples) * up // down)
    return _filtered(np.asarray(samples, np.float64), taps, (up, down, half), count)


def _low_pass(half: int, edge: float) -> Doubles:
    """Return a filter, [2 half + 1], that passes what is below ``edge`` of the Nyquist frequency, its sum 1."""
    at = np.arange(-half, half + 1)
    taps = np.sinc(edge * at) * np.kaiser(2 * half + 1, _BETA)
    return np.asarray(taps / taps.sum())


def _filtered(samples: Doubles, taps: Doubles, steps: tuple[int, int, int], count: int) -> Doubles:
    """Return ``count`` samples: number k is the sum over i of samples[i] taps[k down - i up + half].

    Those whose k down leaves the same remainder by ``up`` weigh their neighbours alike: a product for each remainder.
    """
    up, down, half = steps
    reach = half // up + 1
    wide = np.pad(samples, (reach, reach + down))
    windows = np.lib.stride_tricks.sliding_window_view(wide, 2 * reach + 1)
    found = np.empty(count)
    offsets = np.arange(-reach, reach + 1)
    for first in range(min(up, count)):
        start, rest = divmod(first * down, up)
        at = rest - offsets * up + half
        weights = np.where((at >= 0) & (at < len(taps)), taps[at.clip(0, len(taps) - 1)], 0)
        rows = windows[start::down]
        own = found[first::up]
        own[:] = rows[: len(own)] @ weights
    return found
