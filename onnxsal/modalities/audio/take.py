"""From a sound file to the waveform that a model takes: one channel, its rate, its numbers, its length."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.modalities.audio.files import Sound, read_sound
from onnxsal.modalities.audio.heard import Heard
from onnxsal.modalities.audio.preprocess import SAY_RATE, SoundPreprocess
from onnxsal.modalities.audio.resample import resample

Doubles = NDArray[np.float64]

_VARIANCE = 1e-7
"""Added to a variance before its root is taken, as wav2vec 2.0's feature extractor has it."""


@dataclass(frozen=True)
class _Taken:
    """Samples of one channel at the model's rate, and what was done to a file for them."""

    samples: Doubles
    notes: tuple[str, ...]


def take(path: str | os.PathLike[str], preprocess: SoundPreprocess | None, length: int | None) -> Heard:
    """Return a sound file as a model takes it. Args: length: samples that it takes; None: as many as there are.

    Raises: ImageError: the file cannot be read. UsageError: nothing says the model's rate, the file has another or
    several channels and nothing says that they may be brought to the model's, or it ends before it starts.
    """
    sound = read_sound(path)
    if preprocess is None or preprocess.sampling_rate is None:
        raise UsageError(
            f"{sound.name!r} has {sound.rate} samples a second, and nothing says at which rate the model takes its "
            f"sound: {SAY_RATE}"
        )
    taken = _at_rate(sound, _one_channel(sound, preprocess), preprocess)
    samples, notes = (taken.samples, taken.notes) if length is None else _of_length(taken, length, preprocess)
    return Heard(
        _as_numbers(samples, preprocess), sound.name, preprocess.sampling_rate,
        1.0 if preprocess.normalise else preprocess.scale, notes=notes,
    )  # fmt: skip


def _one_channel(sound: Sound, preprocess: SoundPreprocess) -> _Taken:
    if sound.channels == 1:
        return _Taken(sound.samples[:, 0], ())
    if not preprocess.mono:
        raise UsageError(
            f"{sound.name!r} has {sound.channels} channels, and the model takes one: --mono "
            "(preprocess={'mono': True}) averages them"
        )
    return _Taken(sound.samples.mean(1), (f"the {sound.channels} channels of {sound.name!r} were averaged",))


def _at_rate(sound: Sound, taken: _Taken, preprocess: SoundPreprocess) -> _Taken:
    wanted, samples = preprocess.sampling_rate or sound.rate, taken.samples
    if preprocess.start:
        samples = samples[round(preprocess.start * sound.rate) :]
        if not len(samples):
            seconds = len(sound.samples) / sound.rate
            raise UsageError(f"start={preprocess.start:g}: {sound.name!r} ends after {seconds:g} seconds")
    if wanted == sound.rate:
        return _Taken(samples, taken.notes)
    if not preprocess.resample:
        who = f" ({preprocess.where} says so)" if preprocess.where else ""
        raise UsageError(
            f"{sound.name!r} has {sound.rate} samples a second, and the model takes {wanted}{who}: --resample "
            "(preprocess={'resample': True}) brings it there"
        )
    note = f"{sound.name!r} was brought from {sound.rate} to {wanted} Hz"
    return _Taken(resample(samples, sound.rate, wanted), (*taken.notes, note))


def _of_length(taken: _Taken, length: int, preprocess: SoundPreprocess) -> tuple[Doubles, tuple[str, ...]]:
    """Return samples cut or filled with silence to a model's length, and what is to be said of that."""
    own, rate = len(taken.samples), preprocess.sampling_rate or 1
    if own == length:
        return taken.samples, taken.notes
    takes = f"the model takes {length / rate:.4g} s, and the sound has {own / rate:.4g} s"
    if own > length:
        note = (
            f"{takes}: the rest was left out; --start SECONDS (preprocess={{'start': ...}}) begins elsewhere, --chunk "
            f"{length} (onnxsal.Recording) runs the model over all of it"
        )
        return taken.samples[:length], (*taken.notes, note)
    return np.pad(taken.samples, (0, length - own)), (*taken.notes, f"{takes}: silence was put behind it")


def _as_numbers(samples: Doubles, preprocess: SoundPreprocess) -> Any:
    """Return samples as the numbers that a model takes."""
    if preprocess.normalise:
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + _VARIANCE)
    return (samples * preprocess.scale).astype(np.float32)
