"""The sounds, series and volumes that maps are of, read again from their files as the manifest says, to be drawn on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UnsupportedError
from onnxsal.maps.rows import checksum
from onnxsal.maps.things import laid_out
from onnxsal.modalities.audio.backdrop import drawing, picture
from onnxsal.modalities.audio.files import is_sound
from onnxsal.modalities.audio.heard import Heard
from onnxsal.modalities.audio.preprocess import SoundPreprocess, as_sound_preprocess
from onnxsal.modalities.audio.take import take
from onnxsal.modalities.npy import read_file
from onnxsal.modalities.registry import Sample
from onnxsal.modalities.scans import checked_axes, is_scan, read_scan
from onnxsal.modalities.sequence import drawn
from onnxsal.modalities.series_file import is_series_file, read_series
from onnxsal.modalities.volume import Volume


class Saved(Protocol):
    """What is read here of a map that was kept; ``SavedMap`` says what each is."""

    @property
    def size(self) -> tuple[int, ...]: ...
    @property
    def crc32(self) -> int: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def modality(self) -> str: ...


def sample_on(record: Saved, path: Path) -> Sample | None:
    """Return the sound, series or volume of a map as it was explained; None of other things.

    Raises: ImageError: the file cannot be read, or holds another one. UnsupportedError: the map is of a spectrogram, or
    of words.
    """
    if record.modality == "audio":
        return _sound(record, path)
    if record.modality == "tokens":
        raise UnsupportedError(
            f"the map of {str(path)!r} is of a text, whose words onnxsal explain shows (-o page.html); take its "
            "numbers from here"
        )
    if record.modality == "volume":
        return _volume(record, path)
    if record.modality != "sequence" or not is_series_file(path):
        return None
    file = read_series(path)
    x = np.ascontiguousarray(file.values.T, np.float32)
    _check(record, x, path)
    return Sample(x, path.name, backdrop=partial(drawn, x, file.names))


def _sound(record: Saved, path: Path) -> Sample:
    if len(record.size) > 1:
        raise UnsupportedError(
            f"the map of {str(path)!r} is of a spectrogram that its model makes, which is in no file: onnxsal explain "
            "draws it, or explain the waveform (--explained INPUT)"
        )
    said = record.manifest.get("preprocess")
    preprocess = as_sound_preprocess(said) if isinstance(said, Mapping) else None
    heard = _heard(path, preprocess, record.size[0])
    x = heard.wave.reshape(1, -1)
    _check(record, x, path)
    return Sample(x, path.name, backdrop=picture(x, heard), drawing=drawing(x, heard), heard=heard)


def _heard(path: Path, preprocess: SoundPreprocess | None, length: int) -> Heard:
    if is_sound(path):
        return take(path, preprocess, length)
    said = preprocess or SoundPreprocess()
    wave = read_file(path).reshape(-1).astype(np.float32)
    return Heard(wave, path.name, said.sampling_rate, 1.0 if said.normalise else said.scale)


def _volume(record: Saved, path: Path) -> Sample:
    if is_scan(path):
        scan = read_scan(path, checked_axes(record.manifest.get("preprocess")))
        array, space = scan.array, scan.space
        tried = [array[None] if array.ndim == len(record.size) else np.moveaxis(array, -1, 0)]
    else:
        tried, space = list(laid_out(read_file(path), record.size)), None
    for each in tried:
        x = np.ascontiguousarray(each, np.float32)
        if x.shape[1:] == record.size and checksum(x) == record.crc32:
            return Volume(x, path.name, space=space)
    raise _other(path)


def _check(record: Saved, x: NDArray[np.float32], path: Path) -> None:
    if x.shape[-1:] != record.size or checksum(x) != record.crc32:
        raise _other(path)


def _other(path: Path) -> ImageError:
    return ImageError(
        f"{str(path)!r} does not hold what was explained, or its model changes that before it is explained; onnxsal "
        "explain draws such maps"
    )
