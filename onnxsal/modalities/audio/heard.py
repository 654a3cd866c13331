"""A sound as a model took it, beside the value that is explained: where its positions lie in seconds and hertz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.modalities.audio.preprocess import SAY_RATE
from onnxsal.modalities.audio.spectrogram import Spectrogram

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

_SMOOTH = 0.025
"""Seconds over which a map of samples is averaged before a sound is multiplied with it: faster would be a sound too."""


@dataclass(frozen=True)
class Computed:
    """A value inside a model, and the waveform that it was computed from."""

    value: NDArray[Any]
    heard: Heard


@dataclass(frozen=True)
class Heard:
    """The waveform that a model took, and what is known of it."""

    wave: Floats
    """[samples], as the model took them."""
    name: str
    rate: int | None = None
    """Samples a second; None where nobody says it."""
    scale: float = 1.0
    """What the loudest sample, 1, is in ``wave``."""
    front: Spectrogram | None = None
    """What is known of the spectrogram that is explained, where one is."""
    notes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    """Of the model's input that takes it, where a value inside is explained."""

    @property
    def fed(self) -> Floats:
        """The waveform as that input takes it."""
        return self.wave.reshape(self.shape)

    @property
    def loudness(self) -> Doubles:
        """The samples from -1 to 1."""
        return np.asarray(self.wave, np.float64) / self.scale

    def ends(self, positions: int) -> tuple[float, float]:
        """Return where the first of so many positions along time begins and the last ends, in seconds or samples."""
        rate = float(self.rate or 1)
        return (0.0, positions / rate) if self.front is None else self.front.seconds(positions, rate)

    def gains(self, saliency: NDArray[np.floating]) -> Doubles:
        """Return what each sample is multiplied with, [samples] from 0 to 1, by a map [T], or [F, T] summed over bins.

        A map of samples is averaged over 25 ms; a map of frames is linear between their middles.
        """
        along = np.abs(np.asarray(saliency, np.float64))
        along = along.sum(0) if along.ndim == 2 else along
        first, last = self.ends(len(along))
        if self.front is None and len(along) == len(self.wave):
            along = _smoothed(along, round(_SMOOTH * (self.rate or 0)))
        step = (last - first) / len(along)
        middles = first + (np.arange(len(along)) + 0.5) * step
        at = (np.arange(len(self.wave)) + 0.5) / (self.rate or 1)
        found = np.interp(at, middles, along)
        return found / found.max() if found.max() > 0 else found

    def part(self, saliency: NDArray[np.floating]) -> Doubles:
        """Return the waveform times the map, from -1 to 1. Raises: UsageError: nobody says its rate."""
        if self.rate is None:
            raise UsageError(f"nothing says at which rate {self.name!r} was taken: {SAY_RATE}")
        return (self.loudness * self.gains(saliency)).clip(-1, 1)


def _smoothed(values: Doubles, width: int) -> Doubles:
    """Return the means over so many neighbours; those beyond the ends are left out."""
    if width < 2:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low, high = np.maximum(at - width // 2, 0), np.minimum(at + (width + 1) // 2, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))
