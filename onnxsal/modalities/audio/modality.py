"""Sound: waveforms that a model takes, and the spectrograms that it makes of them inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.anatomy.entry import FED, explained_at, shown
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import dims
from onnxsal.modalities.audio.backdrop import drawing, picture
from onnxsal.modalities.audio.files import is_sound
from onnxsal.modalities.audio.heard import Computed, Heard
from onnxsal.modalities.audio.preprocess import SoundPreprocess, find_sound_preprocess, says_rate
from onnxsal.modalities.audio.spectrogram import Spectrogram, has_transform
from onnxsal.modalities.audio.take import take
from onnxsal.modalities.finite import check_finite
from onnxsal.modalities.npy import read_array
from onnxsal.modalities.registry import BY_CHUNKS, Reader, Sample, Told, modality

Floats = NDArray[np.float32]
Held: TypeAlias = tuple[tuple[str, float], ...]

_WANTED = "what is explained is a sound file, or an array of floats"


@modality("audio")
@dataclass(frozen=True)
class AudioModality:
    """Models of one waveform of one channel: [B, T], [B, 1, T], [B, T, 1] or [T], of floats.

    That it is sound is proven by a transform to frequencies in the graph, or said by whoever says a rate.
    """

    name: ClassVar[str]
    default_size: ClassVar[Mapping[str, int]] = {"T": 16_000}
    preprocessed: ClassVar[bool] = False
    says_size: ClassVar[bool] = True

    said: bool = False
    """Whether somebody says a rate, and so that the model takes sound."""
    held: Held = ()
    """Numbers that further inputs are held at."""
    front: Spectrogram | None = None
    """What is known of the spectrogram that is explained, in the place of the waveform."""

    def for_file(self, told: Told) -> AudioModality:
        """Return the modality that knows what is said of a file."""
        held = tuple(sorted(told.numbers.items()))
        return replace(self, said=says_rate(told.source, told.path, told.metadata, told.numbers), held=held)

    def find_entry(self, graph: ir.Graph) -> Entry:
        """Return where a model takes its sound. Raises: UnsupportedError: nothing says that it takes any."""
        if self.front is not None:
            return self._inner(graph.inputs[0], self.front)
        axes = waveform_axes(graph.inputs[0]) if len(graph.inputs) == 1 else None
        if axes is None or not (self.said or has_transform(graph, graph.inputs[0])):
            taken = ", ".join(f"{v.name!r} {shown(v)}" for v in graph.inputs)
            raise UnsupportedError(f"nothing proves that the model takes sound: {taken or 'it takes nothing'}")
        source = graph.inputs[0]
        value = explained_at(source, axes, (axes,)).value
        steps = dict(zip(axes, dims(source) or (), strict=True))["T"]
        size = (steps,) if isinstance(steps, int) else None
        return Entry(str(source.name), str(value.name), source.dtype or ir.DataType.FLOAT, axes, axes, 1, size,
                     spatial="T")  # fmt: skip

    def _inner(self, value: ir.Value, front: Spectrogram) -> Entry:
        sizes = dict(zip(front.axes, dims(value) or (), strict=True))
        size = tuple(d for letter in "FT" if isinstance(d := sizes[letter], int))
        return Entry(str(value.name), str(value.name), value.dtype or ir.DataType.FLOAT, front.axes, front.axes,
                     front.channels, size if len(size) == 2 else None, spatial="FT")  # fmt: skip

    def entry_notes(self, entry: Entry) -> tuple[str, ...]:
        """Return what is to be told of a spectrogram that is explained."""
        if self.front is None:
            return ()
        bins, hop = len(self.front.cycles), self.front.hop
        silence = self.front.silence
        loud = silence is not None and float(np.abs(silence).max()) > 0
        quiet = "; what methods cover with 0 is not silent there, baseline=black (-O baseline=black) is" if loud else ""
        inside = f"the spectrogram of {bins} bins with a frame every {hop:.6g} samples that is made inside"
        return (f"explains {entry.value!r}, {inside}; --explained INPUT (explained=) explains the waveform{quiet}",)

    def find_preprocess(
        self, source: Any, path: str, metadata: Mapping[str, str], entry: Entry
    ) -> SoundPreprocess | None:
        """Return how the model wants its sound. Raises: UsageError: it is wrong, or two say another rate."""
        return find_sound_preprocess(source, path, metadata, dict(self.held))

    def read(self, thing: Any, reader: Reader) -> Sample:
        """Return a sound file, or an array of floats of the input's own shape, or [T]; or the ``.npy`` file of one.

        Raises: ImageError: the file cannot be read. UsageError: it is of another shape, type or rate, or not finite.
        """
        if isinstance(thing, Computed):
            return self._sample(thing.value, thing.heard, reader)
        entry = reader.entry
        if self.front is None and is_sound(thing):
            heard = take(thing, reader.preprocess, reader.size[0])
            return self._sample(heard.wave.reshape(_shape(entry, len(heard.wave))), heard, reader)
        given = read_array(thing, _WANTED)
        array = given.array[None] if given.array.ndim == len(entry.input_axes) - 1 else given.array
        array = array.reshape(_shape(entry, array.size)) if self.front is None and given.array.ndim == 1 else array
        expected = _expected(entry, reader.size)
        if array.dtype.kind != "f" or array.shape != expected:
            raise UsageError(
                f"{given.name!r} is {given.array.dtype} {list(given.array.shape)}, and the model takes floats "
                f"{list(expected)}{'; load(size=...) opens it for another length' if reader.open_axes else ''}; "
                f"{BY_CHUNKS}"
            )
        check_finite(array, repr(given.name))
        said = reader.preprocess or SoundPreprocess()
        wave = np.zeros(0) if self.front is not None else array.reshape(-1)
        scale = 1.0 if said.normalise else said.scale
        return self._sample(array, Heard(wave.astype(np.float32), given.name, said.sampling_rate, scale), reader)

    def _sample(self, value: NDArray[Any], heard: Heard, reader: Reader) -> Sample:
        x = reader.enter(value.astype(reader.entry.dtype.numpy()))
        heard = replace(heard, front=self.front)
        if not np.isfinite(x).all():
            raise UsageError(f"what the model makes of {heard.name!r} is not finite: digital silence may do that")
        return Sample(
            x, heard.name, notes=heard.notes, backdrop=picture(x, heard), drawing=drawing(x, heard), heard=heard
        )

    def is_value(self, thing: Any, entry: Entry) -> bool:
        """Return whether a thing is an array of the explained value's axes, or there is no spectrogram explained."""
        if self.front is None:
            return True
        if is_sound(thing):
            return False
        size = self.own_size(thing, entry, any_size=False)
        return size is not None and size["F"] == len(self.front.cycles)

    def computed(self, value: NDArray[Any], heard: Heard) -> Computed:
        """Return a spectrogram and the waveform that it was computed from, as ``read`` takes it."""
        return Computed(value, heard)

    def hear(self, thing: Any, preprocess: SoundPreprocess | None, shape: tuple[int | str | None, ...]) -> Heard:
        """Return what a model's input in front of a spectrogram takes of a thing. Raises: as ``read``."""
        long = [d for at, d in enumerate(shape) if d != 1 and (at > 0 or len(shape) == 1)]
        length = long[0] if long and isinstance(long[0], int) else None
        heard = self._wave(thing, preprocess, length, shape)
        own = [1 if d == 1 or (at == 0 and len(shape) > 1) else len(heard.wave) for at, d in enumerate(shape)]
        return replace(heard, shape=tuple(own))

    def _wave(
        self, thing: Any, preprocess: SoundPreprocess | None, length: int | None, shape: tuple[int | str | None, ...]
    ) -> Heard:
        if is_sound(thing):
            return take(thing, preprocess, length)
        given = read_array(thing, _WANTED)
        array, said = given.array, preprocess or SoundPreprocess()
        if array.dtype.kind != "f" or array.size != max(array.shape, default=0) or length not in (None, array.size):
            raise UsageError(
                f"{given.name!r} is {array.dtype} {list(array.shape)}, and the model takes floats {list(shape)}"
            )
        return Heard(array.reshape(-1).astype(np.float32), given.name, said.sampling_rate, said.scale)

    def own_size(self, thing: Any, entry: Entry, *, any_size: bool) -> Mapping[str, int] | None:
        """Return how long an array is, None of what is no array of the input's axes. Raises: as reading it."""
        if is_sound(thing):
            return None
        array = thing.value if isinstance(thing, Computed) else read_array(thing, _WANTED).array
        if array.ndim == 1 and self.front is None:
            return {"T": array.size}
        axes = entry.input_axes if array.ndim == len(entry.input_axes) else entry.input_axes.replace("N", "")
        if array.ndim != len(axes):
            return None
        return {letter: n for letter, n in zip(axes, array.shape, strict=True) if letter in entry.spatial}

    def read_size(self, thing: Any, reader: Reader) -> Mapping[str, int] | None:
        """Return how many samples a sound file has at the model's rate, None of what is no sound file."""
        if self.front is not None or not is_sound(thing):
            return None
        return {"T": len(take(thing, reader.preprocess, None).wave)}

    def blank(self, reader: Reader) -> Floats:
        """Return silence in the explained domain: 0 of a waveform, [C]; of a spectrogram what silence gives."""
        if self.front is None:
            return reader.enter(np.zeros(_expected(reader.entry, reader.size), reader.entry.dtype.numpy()))[:, 0]
        if self.front.silence is None:
            return np.zeros(reader.entry.channels, np.float32)
        bins = np.asarray(self.front.silence, np.float32)[..., None]
        return np.ascontiguousarray(np.broadcast_to(bins, (reader.entry.channels, *reader.size)))


class SpectrogramModality(AudioModality):
    """The same of models whose spectrogram is explained, of bins by frames."""

    default_size: ClassVar[Mapping[str, int]] = {"F": 128, "T": 128}


def waveform_axes(value: ir.Value) -> str | None:
    """Return the letters of the axes of an input that may be a waveform of one channel."""
    shape = dims(value) or ()
    if value.dtype not in FED:
        return None
    batched = len(shape) > 1 and (shape[0] == 1 or not isinstance(shape[0], int))
    if len(shape) == 1:
        return "T" if shape[0] != 1 else None
    if not batched:
        return None
    if len(shape) == 2 and shape[1] != 1:
        return "NT"
    if len(shape) == 3 and 1 in shape[1:]:
        return "NCT" if shape[1] == 1 else "NTC"
    return None


def _expected(entry: Entry, size: tuple[int, ...]) -> tuple[int, ...]:
    sizes = {"N": 1, "C": entry.channels, "1": 1, **dict(zip(entry.spatial, size, strict=True))}
    return tuple(sizes[letter] for letter in entry.input_axes)


def _shape(entry: Entry, steps: int) -> tuple[int, ...]:
    return _expected(entry, (steps,))
