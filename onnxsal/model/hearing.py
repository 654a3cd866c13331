"""Models of sound: whether a spectrogram inside is what is explained, and what running its front tells of its axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.errors import OnnxsalError
from onnxsal.graph import Program, dims
from onnxsal.graph.program import values_by_name
from onnxsal.modalities.audio.modality import AudioModality, SpectrogramModality, waveform_axes
from onnxsal.modalities.audio.spectrogram import CHANNELS, Spectrogram, candidates, has_transform
from onnxsal.modalities.registry import Modality, Told
from onnxsal.model.asked import Asked
from onnxsal.model.batch_axis import Running
from onnxsal.model.held import Held
from onnxsal.model.inner import front
from onnxsal.model.taken import recognised
from onnxsal.runtime import Session

Doubles = NDArray[np.float64]
Run = Callable[[Doubles], Doubles]

_TRIED = 6
"""Values that are tried, from the first convolution on towards the input."""
_LENGTH = 16_384
"""Samples of clicks and tones where a model takes any number."""
_NOISE, _CLICK, _TONE = 1e-3, 1.0, 0.5
_CLICKS = (0.2, 0.35, 0.5, 0.65, 0.8)
_LOUD = 0.2
"""Share of the loudest answer below which a tone counts for unheard."""
_TONES = 40
_KEPT = 64
_NEAR, _QUIET, _ALIKE = 10, 1e-6, 0.1


@dataclass(frozen=True)
class Hearing:
    """A file, and what it is opened with."""

    source: ir.Model
    asked: Asked
    running: Running
    digest: str
    told: Told


class Recognised(NamedTuple):
    """What a model takes; ``inside`` is the value that should be explained in its place, where one was found."""

    modality: Modality
    entry: Entry
    inside: str | None = None


_measured: dict[Any, Spectrogram | None] = {}
"""What is known of spectrograms, by file and value: the same file is opened again for every length of sound."""


def recognised_heard(normal: ir.Model, holding: Held, file: Hearing) -> Recognised:
    """Return what a model takes, a spectrogram in its front measured. Raises: as ``taken.recognised``."""
    if holding.roles.inner:
        found = _spectrogram(file, str(holding.roles.explained))
        if found is not None:
            modality = replace(SpectrogramModality().for_file(file.told), front=found)
            return Recognised(modality, modality.find_entry(normal.graph))
    taken = recognised(normal, holding, file.told)
    if not isinstance(taken[0], AudioModality) or file.asked.explained is not None:
        return Recognised(*taken)
    known = values_by_name(file.source.graph)
    names = [name for name in candidates(normal.graph, normal.graph.inputs[0]) if name in known]
    inside = next((name for name in names[:_TRIED] if _spectrogram(file, name) is not None), None)
    return Recognised(*taken, inside)


def _spectrogram(file: Hearing, name: str) -> Spectrogram | None:
    """Return what running tells of a value inside, None where it is no spectrogram of a waveform that goes in."""
    held = tuple(sorted((key, each.digest) for key, each in file.asked.held.items()))
    key = (file.digest, name, held)
    if key not in _measured:
        if len(_measured) >= _KEPT:
            _measured.clear()
        _measured[key] = _measure(file, name)
    return _measured[key]


def _measure(file: Hearing, name: str) -> Spectrogram | None:
    waves = [v for v in file.source.graph.inputs if waveform_axes(v) is not None and v.name not in file.asked.held]
    if not waves:
        return None
    try:
        program = front(file.source, replace(file.asked, explained=name))
        (taken,) = program.inputs.values() if len(program.inputs) == 1 else (None,)
        if taken is None or waveform_axes(taken) is None or not has_transform(program.model.graph, taken):
            return None
        return measure(*_runner(program, taken, name, file.running))
    except OnnxsalError:  # what cannot be run in front cannot be explained there either; the waveform can
        return None


def _runner(program: Program, taken: ir.Value, name: str, running: Running) -> tuple[Run, int]:
    """Return what runs a front on samples, and how many it takes."""
    session = Session(program, provider=running.provider, threads=running.threads, custom_ops=running.custom_ops)
    axes = str(waveform_axes(taken))
    sizes = dict(zip(axes, dims(taken) or (), strict=True))
    length = size if isinstance(size := sizes["T"], int) else _LENGTH
    shape = [length if letter == "T" else 1 for letter in axes]

    def run(samples: Doubles) -> Doubles:
        found = session.run({str(taken.name): samples.reshape(shape).astype(np.float32)})[name]
        return np.asarray(found, np.float64)

    return run, length


def measure(run: Run, length: int) -> Spectrogram | None:
    """Return what a value tells of its axes on clicks and tones; None where it answers otherwise than a spectrogram.

    Along time the answer to a click moves as the click does and along the bins it stays; a tone stays along time and
    moves along the bins with its frequency. Args: run: from samples [length] to the value, with its batch axis.
    """
    noise = np.random.default_rng(0).normal(0, _NOISE, length)
    shape = run(noise).shape
    free = [axis for axis in range(1, len(shape)) if shape[axis] > 1]
    fits = shape[0] == 1 and (len(free) == 2 or (len(free) == 3 and min(shape[axis] for axis in free) <= CHANNELS))
    time = _time_axis(run, noise, free) if fits else None
    if time is None:
        return None
    axis, hop, offset = time
    frequencies = _frequencies(length)
    tones = _answers([run(_tone(f, noise)) for f in frequencies])
    for bins in [other for other in free if other != axis]:
        cycles = _bins(frequencies, tones, bins)
        others = [other for other in free if other not in (axis, bins)]
        if cycles is not None:
            return _named(run, shape, (axis, bins, *others), (length, hop, offset, cycles))
    return None


def _answers(values: list[Doubles]) -> Doubles:
    """Return by how much each of several values is above their median, place by place.

    Each click, each tone is heard in few places: elsewhere all are alike, also where a model brings what it hears to
    the same loudness. Shape: [several, ...].
    """
    stack = np.stack(values)
    return np.asarray(np.clip(stack - np.median(stack, axis=0), 0, None))


def _time_axis(run: Run, noise: Doubles, free: list[int]) -> tuple[int, float, float] | None:
    """Return the axis of time, samples a frame, and the sample of the first frame's middle."""
    places = np.array([round(share * len(noise)) for share in _CLICKS])
    answers = _answers([run(_clicked(noise, place)) for place in places])
    for axis in free if np.isfinite(answers).all() else ():
        peaks = np.array([_peak(_along(answer**2, axis)) for answer in answers])
        slope, start = np.polyfit(places, peaks, 1)
        size, reach = answers.shape[1 + axis], slope * (places[-1] - places[0])
        straight = np.abs(slope * places + start - peaks).max() <= max(1.0, 0.02 * size)
        if straight and 0.25 * size <= reach:
            hop = _whole(run, noise, axis, float(1 / slope), size)
            return axis, hop, float(places.mean() - hop * peaks.mean())
    return None


def _clicked(noise: Doubles, place: int) -> Doubles:
    samples = noise.copy()
    samples[place] += _CLICK
    return samples


def _whole(run: Run, noise: Doubles, axis: int, hop: float, size: int) -> float:
    """Return the whole number of samples near ``hop`` by which a click moved some frames on is answered alike; ``hop``
    itself where none is."""
    first, frames = round(0.3 * len(noise)), max(int(0.35 * size), 1)
    reach = min(max(round(0.04 * hop), 1), _NEAR)
    steps = [h for h in range(round(hop) - reach, round(hop) + reach + 1) if h > 0 and first + h * frames < len(noise)]
    if not steps:
        return hop
    quiet = np.full(len(noise), _QUIET)
    far, own, *others = (
        np.moveaxis(run(_clicked(quiet, place)), axis, 0)[: int(0.8 * size)]
        for place in (round(0.95 * len(noise)), first, *(first + h * frames for h in steps))
    )
    if not np.isfinite(far).all():
        return hop
    wanted = (own - far)[:-frames]
    errors = [float((((other - far)[frames:] - wanted) ** 2).sum() / (wanted**2).sum()) for other in others]
    return float(steps[int(np.argmin(errors))]) if min(errors) < _ALIKE else hop


def _along(values: Doubles, axis: int) -> Doubles:
    return np.asarray(values.sum(axis=tuple(i for i in range(values.ndim) if i != axis)))


def _frequencies(length: int) -> list[float]:
    """Return frequencies in cycles a sample, half of them evenly apart, half in even ratios, ascending."""
    even = np.linspace(0, 0.5, _TONES // 2 + 2)[1:-1]
    ratios = np.geomspace(20 / length, 0.49, _TONES // 2)
    return sorted({*even.tolist(), *ratios.tolist()})


def _tone(frequency: float, noise: Doubles) -> Doubles:
    return np.asarray(noise + _TONE * np.sin(2 * np.pi * frequency * np.arange(len(noise))))


def _bins(frequencies: list[float], tones: Doubles, axis: int) -> tuple[float, ...] | None:
    """Return the frequency of each bin along an axis; None where tones do not move along it as they rise."""
    size = tones.shape[1 + axis]
    answers = [(f, _along(answer, axis)) for f, answer in zip(frequencies, tones, strict=True)]
    loud = _LOUD * max(float(profile.max()) for _, profile in answers)
    knots = [(f, _peak(profile)) for f, profile in answers if profile.max() > loud]
    if size < 4 or len(knots) < _TONES // 4:
        return None
    f, at = np.transpose(knots)
    at, turned = (at, False) if at[-1] >= at[0] else (size - 1 - at, True)
    inside = len(np.unique(np.rint(at[(at > 0) & (at < size - 1)])))
    if (np.diff(at) >= -0.5).mean() < 0.9 or at.max() - at.min() < 0.5 * size or inside < min(size, _TONES) // 4:
        return None
    found = _interpolated(at, f, size)
    return tuple(float(each) for each in (found[::-1] if turned else found))


def _peak(profile: Doubles) -> float:
    """Return where a profile is highest, between its places by the parabola through three of them."""
    top = int(profile.argmax())
    if not 0 < top < len(profile) - 1:
        return float(top)
    left, middle, right = profile[top - 1 : top + 2]
    bend = left - 2 * middle + right
    return top if bend == 0 else top + float(np.clip((left - right) / (2 * bend), -0.5, 0.5))


def _interpolated(at: Doubles, frequencies: Doubles, size: int) -> Doubles:
    """Return the frequency of each bin, straight between the tones, and beyond the last as between the last ones.

    A tone whose peak is the last bin may lie beyond it, and tells nothing.
    """
    knots = list[tuple[float, float]]()
    for place, f in sorted(zip(at.tolist(), frequencies.tolist(), strict=True)):
        if 0 < place < size - 1 and (not knots or place >= knots[-1][0] + 0.5):
            knots.append((place, f))
    x, y = np.transpose(knots)
    bins = np.arange(size, dtype=np.float64)
    even = bins / (2 * (size - 1))
    if np.abs(np.interp(x, bins, even) - y).max() < even[1]:  # a Fourier transform's own, from 0 to half the rate
        return even
    found = np.interp(bins, x, y)
    found[bins < x[0]] = _beyond(bins[bins < x[0]], x[:3], y[:3])
    found[bins > x[-1]] = _beyond(bins[bins > x[-1]], x[:-4:-1], y[:-4:-1])
    return np.asarray(found.clip(0, 0.5))


def _beyond(bins: Doubles, x: Doubles, y: Doubles) -> Doubles:
    """Return the frequencies of bins beyond the last of three tones: evenly on, or in even ratios, as these lie."""

    def on(values: Doubles, places: Doubles) -> Doubles:
        return np.asarray(values[0] + (places - x[0]) * (values[1] - values[0]) / (x[1] - x[0]))

    if len(x) < 3:
        return on(y, bins)
    even, ratios = on(y, x[2:])[0], np.exp(on(np.log(y), x[2:])[0])
    return on(y, bins) if abs(even - y[2]) <= abs(ratios - y[2]) else np.asarray(np.exp(on(np.log(y), bins)))


def _named(
    run: Run, shape: tuple[int, ...], order: tuple[int, ...], facts: tuple[int, float, float, tuple[float, ...]]
) -> Spectrogram:
    """Return the spectrogram with its axes by letters. Args: order: the axes of time, bins, and channels if any."""
    letters = dict(zip(order, "TFC", strict=False))
    axes = "".join("N" if axis == 0 else letters.get(axis, "1") for axis in range(len(shape)))
    if "C" not in axes and "1" in axes:  # a convolution's channel, of which there is one
        axes = axes.replace("1", "C", 1)
    channels = shape[axes.index("C")] if "C" in axes else 1
    length, hop, offset, cycles = facts
    return Spectrogram(axes, channels, hop, offset, cycles, _silence(run, length, order))


def _silence(run: Run, length: int, order: tuple[int, ...]) -> Doubles | None:
    """Return what silence gives in the middle of time, [C, F]; None where that is not finite."""
    found = run(np.zeros(length))
    time, bins, *channels = order
    middle = np.take(found, found.shape[time] // 2, axis=time)
    left = [axis - (axis > time) for axis in (*channels, bins)]
    others = [axis for axis in range(middle.ndim) if axis not in left]
    values = middle.transpose(*others, *left).reshape(-1, middle.shape[left[-1]])
    return values if np.isfinite(values).all() else None
