"""Maps and gradients of real models of sound: which second a map points at, and slopes against the files.

A quiet file holds one marked sound, a vowel or a note; a map is right where its weight lies in those seconds (a window
of the model's own wider on each side). Gradients are held against central differences of the file in ONNX Runtime, on
noise, along their own direction and random ones. Models are found by their names in the folders that are given; what is
missing is left out.

    python benchmarks/sound.py FOLDER [FOLDER ...] [--method METHOD ...] [--only NAME]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import onnxsal
from onnxsal.errors import OnnxsalError

Array = NDArray[Any]

METHODS: dict[str, dict[str, Any]] = {
    "gradient": {}, "integrated-gradients": {"steps": 20}, "smoothgrad": {"samples": 10, "noise": 0.02},
    "grad-cam": {}, "layercam": {}, "occlusion": {"along": "last"},
    "rise": {"along": "last", "samples": 150, "grid": 12},
}  # fmt: skip
STEPS = np.geomspace(1e-1, 1e-6, 11)
"""Of what is moved, in the units of the input: logarithms of faint bins are straight over the smallest alone."""
DIRECTIONS = 5


@dataclass(frozen=True)
class Subject:
    """A model, what it hears, what is asked of it, and where in the explained value that is."""

    name: str
    file: str
    thing: Array
    target: str
    span: tuple[float, float]
    """From which to which share of time the marked sound reaches, the model's window with it."""
    loading: Mapping[str, Any] = field(default_factory=dict)
    axis: int = -1
    """Of time, in the map."""
    feeds: Mapping[str, Array] = field(default_factory=dict)
    """Of the file's other inputs."""
    smooth: bool = True
    """Whether it has slopes: what is rounded to 8 bits on its way has none."""


def vowel(rate: int, seconds: float, start: float, length: float, pitch: float = 120.0) -> Array:
    """Return near silence with one vowel: harmonics under two formants, and a smooth envelope."""
    t = np.arange(round(rate * seconds)) / rate
    inside = (t >= start) & (t < start + length)
    envelope = np.where(inside, np.sin(np.pi * np.clip((t - start) / length, 0, 1)) ** 0.5, 0)
    harmonics = pitch * np.arange(1, int(min(4_000, rate / 2) / pitch))
    loudness = sum(np.exp(-(((harmonics - f) / 150) ** 2)) for f in (700, 1_200)) + 0.05
    voice = (loudness[:, None] * np.sin(2 * np.pi * harmonics[:, None] * t)).sum(0)
    noise = np.random.default_rng(0).normal(0, 1e-4, len(t))
    return (0.3 * envelope * voice / np.abs(voice).max() + noise).astype(np.float32)


def note(rate: int, samples: int, start: float, length: float, pitch: float = 440.0) -> Array:
    """Return near silence with one note of three harmonics."""
    t = np.arange(samples) / rate
    envelope = np.where((t >= start) & (t < start + length), np.sin(np.pi * np.clip((t - start) / length, 0, 1)), 0)
    own = sum(a * np.sin(2 * np.pi * k * pitch * t) for k, a in ((1, 0.3), (2, 0.15), (3, 0.08)))
    return (envelope**0.5 * own + np.random.default_rng(0).normal(0, 1e-4, samples)).astype(np.float32)


def whisper_mels(x: Array) -> Array:
    """Return the log-mel spectrogram [80, 800] of 8 s at 16 kHz as Whisper's feature extractor has it."""
    wide = np.pad(x.astype(np.float64), 200, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(wide, 400)[::160][:800] * np.hanning(401)[:-1]
    mels = np.maximum(np.abs(np.fft.rfft(frames)) ** 2 @ _slaney(80).T, 1e-10)
    log = np.log10(mels)
    return ((np.maximum(log, log.max() - 8) + 4) / 4).T.astype(np.float32)


def _slaney(bands: int) -> Array:
    def hertz(m: Array) -> Array:
        return np.where(m < 15, m * 200 / 3, 1_000 * np.exp((m - 15) * np.log(6.4) / 27))

    top = 15 + 27 * np.log(8) / np.log(6.4)
    ends = hertz(np.linspace(0, top, bands + 2))
    f = np.arange(201) * 40.0
    low, middle, high = ends[:-2, None], ends[1:-1, None], ends[2:, None]
    rising, falling = (f - low) / (middle - low), (high - f) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (high - low))


def subjects(find: Callable[[str], Path | None]) -> Iterator[Subject]:
    """Yield what is asked of which file."""
    a4, at = note(22_050, 43_844, 1.1, 0.4), "StatefulPartitionedCall:2[0, 110, 48]"
    whole = 43_844 / 22_050
    span = ((1.1 - 0.1) / whole, (1.5 + 0.1) / whole)
    rate = {"preprocess": {"sampling_rate": 22_050}}
    yield Subject("basic_pitch, spectrogram", "basic_pitch.onnx", a4, at, span, rate)
    yield Subject("basic_pitch, waveform", "basic_pitch.onnx", a4[None, :, None], at, span,
                  rate | {"explained": "serving_default_input_2:0"})  # fmt: skip
    voice = vowel(16_000, 1.5, 0.6, 0.4)
    between = {"fmin": np.array(46.875, np.float32), "fmax": np.array(2_093.75, np.float32)}
    yield Subject("swift_f0", "swift_f0.onnx", voice[None], "confidence[0, 50]", (0.55 / 1.5, 1.05 / 1.5),
                  {"inputs": between, "explained": "audio"}, feeds=between)  # fmt: skip
    rest = {"sr": np.array(16_000), "state": np.zeros((2, 1, 128), np.float32)}
    chunk = vowel(16_000, 0.032, 0.014, 0.018, 200.0)
    yield Subject("silero, one chunk", "silero_op15.onnx", chunk[None], "output[0, 0]", (0.35, 1.0),
                  {"inputs": rest, "explained": "input"}, feeds=rest)  # fmt: skip
    mel = find("melspectrogram.onnx")
    if mel is not None:
        heard = vowel(16_000, 0.775, 0.3, 0.2)[None] * 32_768
        mels = onnxruntime.InferenceSession(mel).run(None, {"input": heard})[0].reshape(-1, 32)[:76] / 10 + 2
        picture = np.pad(mels, ((0, 76 - len(mels)), (0, 0)), mode="edge")[..., None].astype(np.float32)
        yield Subject("wake_emb", "wake_emb.onnx", picture, "like", (0.27 / 0.775, 0.53 / 0.775),
                      {"task": "embedding"}, axis=0)  # fmt: skip
    turn = whisper_mels(vowel(16_000, 8.0, 5.0, 1.0))
    yield Subject("smart_turn (int8)", "smart-turn-v3.2-cpu.onnx", turn[None], "logits[0, 0]", (4.9 / 8, 6.1 / 8),
                  smooth=False)  # fmt: skip
    tone = 0.02 * np.random.default_rng(0).normal(size=(1, 200, 161)) - 7.0
    tone[:, 100:140, 30:34] += 6.0
    yield Subject("nsnet2", "nsnet2-20ms-baseline.onnx", tone.astype(np.float32), "output[0, 138, 31]",
                  (95 / 200, 145 / 200), axis=0)  # fmt: skip


def located(raw: Array, axis: int, rank: int, span: tuple[float, float]) -> tuple[float, bool]:
    """Return the share of a map's weight that lies in a span of time, and whether its maximum does.

    The weight of a signed map is its size; of a map of masks it is what it has over its median.
    """
    signed = raw.ndim > rank
    weight = np.abs(raw).sum(0) if signed else np.maximum(raw - np.median(raw), 0)
    along = weight.sum(axis=tuple(i for i in range(weight.ndim) if i != axis % weight.ndim))
    middles = (np.arange(len(along)) + 0.5) / len(along)
    inside = (middles >= span[0]) & (middles <= span[1])
    total = along.sum()
    return (float(along[inside].sum() / total) if total else float("nan")), bool(inside[along.argmax()])


def slopes(subject: Subject, path: Path, model: Any, target: Any) -> float:
    """Return the largest error of directional derivatives, each at its best step; NaN where the gradient is 0.

    Directions: the gradient's own, and random ones. Units: shares of the slope, or of what one along a random direction
    is like, whichever is larger: some are 0 by chance.
    """
    session = onnxruntime.InferenceSession(path)
    taken = str(model.anatomy.entry.input)
    name, index = str(target).split("[")
    place = tuple(int(i) for i in index.rstrip("]").split(","))
    rng = np.random.default_rng(1)
    loud = 0.05 * max(float(subject.thing.std()), 0.1)
    x = (subject.thing + rng.normal(0, loud, subject.thing.shape)).astype(np.float32)

    def value(at: Array) -> float:
        at = at if at.ndim == len(model.anatomy.entry.input_axes) else at[None]
        feeds = {taken: at.astype(np.float32), **subject.feeds}
        return float(session.run([name], feeds)[0][place])

    own = onnxsal.explain(model, x, method="gradient", target=target).raw.astype(np.float64)
    own = own.reshape(-1)
    if not own.any():
        return float("nan")
    worst, usual = 0.0, float(np.linalg.norm(own) / np.sqrt(own.size))
    for way in (own, *rng.normal(size=(DIRECTIONS - 1, own.size))):
        unit = (way / np.linalg.norm(way)).reshape(x.shape)
        slope = float(own @ unit.reshape(-1))
        found = [(value(x + step * unit) - value(x - step * unit)) / (2 * step) for step in STEPS]
        worst = max(worst, min(abs(each - slope) for each in found) / max(abs(slope), usual))
    return worst


def main() -> None:
    """Print a table: share of the weight in the right seconds, a star where the maximum is; slopes; seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    files = {path.name: path for folder in options.folders for path in sorted(folder.rglob("*.onnx"))}
    methods = options.method or list(METHODS)
    print(f"{'model':26} {'mark':>6} " + " ".join(f"{name[:12]:>13}" for name in methods) + "   slopes")
    for subject in subjects(files.get):
        path = files.get(subject.file)
        if path is not None and options.only in subject.name:
            print(row(subject, path, methods), flush=True)


def row(subject: Subject, path: Path, methods: list[str]) -> str:
    """Return the line of one model."""
    model = onnxsal.load(path, **subject.loading)
    target: Any = onnxsal.Like(subject.thing) if subject.target == "like" else subject.target
    cells = []
    for name in methods:
        started = time.perf_counter()
        try:
            options = {**METHODS[name]} | ({"along": "first"} if "along" in METHODS[name] and subject.axis == 0 else {})
            found = onnxsal.explain(model, subject.thing, method=name, target=target, **options)
        except OnnxsalError as error:
            cells.append("-" if "layer" in str(error) else type(error).__name__)
            continue
        share, peak = located(found.raw, subject.axis, found.saliency.ndim, subject.span)
        cells.append(f"{100 * share:.0f} %{'*' if peak else ' '}{time.perf_counter() - started:5.1f} s")
    mark = 100 * (subject.span[1] - subject.span[0])
    inside = model.anatomy.entry.value not in [each.name for each in model.source.graph.inputs]
    error = "none" if inside or not subject.smooth else ""
    try:
        asked = f"{model.task.output}[0, 0, 0, 7]" if subject.target == "like" else subject.target
        error = error or f"{slopes(subject, path, model, asked):.1e}"
    except OnnxsalError as problem:
        error = type(problem).__name__
    return f"{subject.name:26} {mark:4.0f} % " + " ".join(f"{cell:>13}" for cell in cells) + f"   {error}"


if __name__ == "__main__":
    main()
