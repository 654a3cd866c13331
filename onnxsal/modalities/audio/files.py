"""Sound files: read and written through soundfile, which is asked for where it is missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import EnvironmentSetupError, ImageError, OutputError, UsageError, one_line
from onnxsal.files import nearest_file, replacing
from onnxsal.modalities.finite import check_finite

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".w64", ".caf", ".opus")
"""Of files that are taken for sound; libsndfile reads them by what is in them."""

WRITTEN = {".wav": ("WAV", "FLOAT"), ".flac": ("FLAC", "PCM_24")}
"""The formats that are written, by suffix, and how they hold numbers: WAV as floats, FLAC as 24 bits."""


@dataclass(frozen=True)
class Sound:
    """What a sound file holds."""

    name: str
    samples: NDArray[np.float64]
    """[frames, channels], from -1 to 1."""
    rate: int
    """Samples a second."""

    @property
    def channels(self) -> int:
        """How many channels it has."""
        return int(self.samples.shape[1])


def is_sound(thing: Any) -> bool:
    """Return whether a thing names a sound file."""
    return isinstance(thing, str | os.PathLike) and Path(thing).suffix.lower() in SUFFIXES


def read_sound(path: str | os.PathLike[str]) -> Sound:
    """Return the sound in a file.

    Raises: ImageError: there is no such file, it holds no sound, or numbers that are not finite. EnvironmentSetupError:
    soundfile is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"no such file: {str(path)!r}{nearest_file(path)}")
    soundfile = _soundfile(f"reading {str(path)!r}")
    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError, MemoryError) as error:
        raise ImageError(f"{str(path)!r} is no sound that can be read: {one_line(error)}") from None
    if not samples.size:
        raise ImageError(f"{str(path)!r} holds no samples")
    check_finite(samples, repr(str(path)), error=ImageError, things="samples", batch=False)
    return Sound(path.name, samples, int(rate))


def check_sound_file(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the format of a sound file that is to be written, and how it holds numbers.

    Raises: UsageError: the suffix is of none that is written. EnvironmentSetupError: soundfile is missing.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITTEN:
        raise UsageError(f"sounds are written as {' or '.join(WRITTEN)}; got {str(path)!r}")
    _soundfile(f"writing {str(path)!r}")
    return WRITTEN[suffix]


def write_sound(path: str | os.PathLike[str], samples: NDArray[np.floating], rate: int) -> None:
    """Write samples [frames] or [frames, channels] from -1 to 1. Raises: OutputError; as ``check_sound_file``."""
    kind, held = check_sound_file(path)
    soundfile = _soundfile(f"writing {str(path)!r}")
    try:
        with replacing(path) as part, part.open("wb") as file:
            soundfile.write(file, np.asarray(samples, np.float32), rate, subtype=held, format=kind)
    except soundfile.LibsndfileError as error:
        raise OutputError(f"cannot write {str(path)!r}: {error}") from None


def _soundfile(what: str) -> Any:
    """Return the package. Raises: EnvironmentSetupError: it is missing, or its library cannot be loaded."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise EnvironmentSetupError(
            f"{what} needs the package soundfile ({error}): pip install 'onnxsal[audio]'"
        ) from None
    return soundfile
