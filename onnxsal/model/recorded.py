"""What a recording holds: an array, a table, a sound, with the axes of the model that is run over it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.modalities.audio.files import is_sound
from onnxsal.modalities.audio.heard import Heard
from onnxsal.modalities.audio.modality import AudioModality
from onnxsal.modalities.audio.take import take
from onnxsal.modalities.npy import read_array
from onnxsal.modalities.series_file import is_series_file, read_series
from onnxsal.model.model import Model

_WANTED = "a recording is an array, its .npy file, of sequences a CSV file, of sound a sound file"


@dataclass(frozen=True)
class Recorded:
    """A recording as it was read."""

    name: str
    array: NDArray[Any]
    heard: Heard | None = None
    """The sound that it is, of models of sound."""


def of_waveform(model: Model) -> Model:
    """Return a model of sound opened for its waveform: chunks are cut of what goes in, not of a spectrogram inside."""
    sources = [each.name for each in model.inputs if each.role == "inside"]
    if not isinstance(model.modality, AudioModality) or len(sources) != 1:
        return model
    opened: Model = model.others(("waveform", model.sound), lambda: model.reopened(explained=sources[0]))
    return opened


def read_recorded(thing: Any, model: Model) -> Recorded:
    """Return a recording of any length. Raises: ImageError, UsageError: it cannot be read, or has another rate."""
    axes, sound = model.anatomy.entry.input_axes, model.sound
    of_sound = isinstance(model.modality, AudioModality)
    if of_sound and is_sound(thing):
        heard = take(thing, sound, None)
        return Recorded(heard.name, heard.wave.reshape([-1 if letter == "T" else 1 for letter in axes]), heard)
    if is_series_file(thing) and "T" in axes and "C" in axes:
        values = read_series(thing).values
        return Recorded(Path(thing).name, values if axes.index("T") < axes.index("C") else values.T)
    given = read_array(thing, _WANTED) if isinstance(thing, str | os.PathLike | np.ndarray) else None
    name, array = ("recording", np.asarray(thing)) if given is None else (given.name, given.array)
    if not of_sound or array.size != max(array.shape, default=0):
        return Recorded(name, array)
    rate, scale = (None, 1.0) if sound is None else (sound.sampling_rate, 1.0 if sound.normalise else sound.scale)
    return Recorded(name, array, Heard(array.reshape(-1).astype(np.float32), name, rate, scale))
