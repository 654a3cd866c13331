"""Spectrograms inside a model: found, measured, explained; against NumPy's, closed forms and difference quotients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.explanation.figure import draw
from onnxsal.methods.rise import coarse_masks

N, HOP, RATE, EPS = 64, 16, 4_000, 1e-4
BINS = N // 2 + 1
RNG = np.random.default_rng(0)
WINDOW = np.hanning(N + 1)[:-1]
BASIS = WINDOW * np.concatenate([f(2 * np.pi * np.outer(np.arange(BINS), np.arange(N)) / N) for f in (np.cos, np.sin)])
FLAT, ROWS = RNG.normal(size=(3, 1, 3, 3)), RNG.normal(size=(3, BINS, 3)) / 5
BIAS = np.array([-4.0, -5.0, -6.0])
"""Below which nothing is heard."""
V = np.array([[1.0, -1.0], [2.0, 0.5], [0.5, 1.0]])
NOISE = 1e-3 * RNG.normal(size=1_600)
MARKED = slice(900, 1_200)

FRONTS = {
    "conv": """b = Unsqueeze (x, one) c = Conv <strides = [16]> (b, basis)
        re, im = Split <axis = 1, num_outputs = 2> (c)
        rr = Mul (re, re) ii = Mul (im, im) p = Add (rr, ii) d = Div (p, eps) e = Add (d, unit) s = Log (e)""",
    "stft": """c = STFT (u, hop, window) d = Mul (c, c) q = ReduceSum <keepdims = 0> (d, three) e = Add (q, eps)
        l = Log (e) s = Transpose <perm = [0, 2, 1]> (l)""",
}
BACKS = {
    "flat": """i = Unsqueeze (s, one) a = Conv <pads = [1, 1, 1, 1]> (i, flat, bias) r = Relu (a)
        m = ReduceMean <keepdims = 0> (r, last)""",
    "rows": "a = Conv <pads = [1, 1]> (s, rows) r = Relu (a) m = ReduceMean <keepdims = 0> (r, two)",
}


def net(front: str = "conv", back: str = "flat") -> onnx.ModelProto:
    first = "u = Unsqueeze (x, two)" if front == "stft" else ""
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 18]> g (float[B, T] x) => (float[B, 2] y)
        <int64[1] one = {{1}}, int64[1] two = {{2}}, int64[1] three = {{3}}, int64[2] last = {{2, 3}},
         int64 hop = {{{HOP}}}>
        {{ {first} {FRONTS[front]} {BACKS[back]} y = MatMul (m, v) }}"""
    )
    arrays = {"basis": BASIS[:, None], "window": WINDOW, "eps": np.array(EPS), "unit": np.array(1.0)}
    arrays |= {"flat": FLAT, "rows": ROWS, "v": V, "bias": BIAS}
    for name, array in arrays.items():
        if any(name in node.input for node in proto.graph.node):
            proto.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    proto.metadata_props.append(helper.onnx.StringStringEntryProto(key="sample_rate", value=str(RATE)))
    return proto


def spectrogram(x: np.ndarray) -> np.ndarray:
    """Return log(1 + power / eps), [bins, frames]: 0 where nothing is heard."""
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(x, np.float64), N)[::HOP]
    return np.log1p(np.abs(np.fft.rfft(frames * WINDOW)) ** 2 / EPS).T


def flat_score(s: np.ndarray) -> float:
    """The first class of what ``flat`` makes of a spectrogram, in float64."""
    wide, (rows, columns) = np.pad(np.asarray(s, np.float64), 1), s.shape
    shifts = [(i, j) for i in range(3) for j in range(3)]
    a = [b + sum(taps[i, j] * wide[i : i + rows, j : j + columns] for i, j in shifts)
         for taps, b in zip(FLAT[:, 0], BIAS, strict=True)]  # fmt: skip
    return float(np.maximum(a, 0).mean((1, 2)) @ V[:, 0])


def marked(amplitude: float = 0.5) -> np.ndarray:
    """Noise, and in it one tone of 1 kHz under a smooth envelope."""
    x = NOISE.copy()
    x[MARKED] += amplitude * np.hanning(300) * np.sin(2 * np.pi * 1_000 * np.arange(300) / RATE)
    return x.astype(np.float32)


def saved(folder: Path, x: np.ndarray) -> str:
    soundfile.write(folder / "x.wav", x, RATE, subtype="FLOAT")
    return str(folder / "x.wav")


@pytest.fixture(scope="module")
def loaded() -> onnxsal.Model:
    return onnxsal.load(net())


@pytest.mark.parametrize(("front", "back"), [("conv", "flat"), ("stft", "rows")])
def test_what_the_first_convolution_reads_is_explained_and_its_axes_are_known(front: str, back: str) -> None:
    model = onnxsal.load(net(front, back))
    known = model.modality.front
    assert (model.modality.name, model.anatomy.entry.spatial, known.hop) == ("audio", "FT", HOP)
    np.testing.assert_allclose(known.cycles, np.arange(BINS) / N, atol=1e-12)
    np.testing.assert_allclose(known.silence, np.log(EPS) if front == "stft" else 0, rtol=1e-6)
    assert known.offset == pytest.approx(N / 2, abs=HOP / 2)  # the first frame is centred half a window in
    assert any("explains the waveform" in note for note in model.notes)


def test_a_sound_file_its_samples_and_its_spectrogram_are_one(tmp_path: Path, loaded: onnxsal.Model) -> None:
    x = marked()
    found = [onnxsal.explain(loaded, thing, method="gradient", target=0)
             for thing in (saved(tmp_path, x), x, spectrogram(x)[None].astype(np.float32))]  # fmt: skip
    for each in found:
        np.testing.assert_allclose(each.sample.x[0], spectrogram(x), atol=1e-3)
        np.testing.assert_allclose(each.raw, found[0].raw, rtol=1e-3, atol=1e-7)
    own = onnxruntime.InferenceSession(net().SerializeToString()).run(None, {"x": x[None]})[0][0]
    assert found[0].logit == pytest.approx(own[0], rel=1e-4)


def test_the_gradient_is_the_closed_form(loaded: onnxsal.Model) -> None:
    """y = mean of v relu(flat * s): gated, and carried back by the taps."""
    x = marked()
    found = onnxsal.explain(loaded, x, method="gradient", target=1).raw[0]
    s = np.pad(spectrogram(x), 1)
    rows, columns = spectrogram(x).shape
    g = np.zeros_like(s)
    for taps, bias, v in zip(FLAT[:, 0], BIAS, V[:, 1], strict=True):
        shifts = [(i, j) for i in range(3) for j in range(3)]
        a = bias + sum(taps[i, j] * s[i : i + rows, j : j + columns] for i, j in shifts)
        for i, j in shifts:
            g[i : i + rows, j : j + columns] += taps[i, j] * v / a.size * (a > 0)
    np.testing.assert_allclose(found, g[1:-1, 1:-1], rtol=1e-4, atol=1e-8)


def test_the_waveforms_gradient_holds_against_difference_quotients() -> None:
    """Through the transform, the power and the logarithm, in float64 by NumPy."""
    model = onnxsal.load(net("conv", "rows"), explained="x")
    assert (model.modality.name, model.anatomy.entry.spatial) == ("audio", "T")

    def score(x: np.ndarray) -> float:
        s = np.pad(spectrogram(x), ((0, 0), (1, 1)))
        a = sum(ROWS[:, :, i] @ s[:, i : i + s.shape[1] - 2] for i in range(3))
        return float(np.maximum(a, 0).mean(1) @ V[:, 0])

    x = (0.1 * RNG.normal(size=800)).astype(np.float32)
    found = onnxsal.explain(model, x, method="gradient", target=0)
    for way in RNG.normal(size=(3, 800)):
        ends = [score(x + step * way) for step in (1e-6, -1e-6)]
        assert (found.raw[0] * way).sum() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=2e-3)


METHODS = {
    "gradient": {}, "integrated-gradients": {}, "smoothgrad": {"samples": 4, "noise": 0.02}, "layercam": {},
    "occlusion": {"patch": 8, "stride": 4, "score": "logit"},
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_the_map_lies_where_the_one_sound_is(loaded: onnxsal.Model, method: str) -> None:
    """What is not explained by the marked sound is what every frame of noise has: the median over time."""
    found = onnxsal.explain(loaded, marked(), method=method, target=0, **METHODS[method])
    along = np.abs(found.saliency - np.median(found.saliency, axis=1, keepdims=True)).sum(0)
    first, last = found.sample.heard.ends(len(along))
    at = first + (np.arange(len(along)) + 0.5) * (last - first) / len(along)
    reach = N / RATE
    inside = (at >= MARKED.start / RATE - reach) & (at <= MARKED.stop / RATE + reach)
    assert along[inside].mean() > 2 * along[~inside].mean()
    assert inside[along.argmax()]


def test_it_is_drawn_and_its_seconds_are_written(tmp_path: Path, loaded: onnxsal.Model) -> None:
    found = onnxsal.explain(loaded, saved(tmp_path, marked()), method="layercam", target=0)
    for kind in ("overlay", "heat", "product"):
        assert np.asarray(draw(found, kind=kind)).std() > 5
    found.to_sound(tmp_path / "part.flac")
    part, rate = soundfile.read(tmp_path / "part.flac")
    np.testing.assert_allclose(part, marked() * found.sample.heard.gains(found.saliency), atol=1e-6)
    assert rate == RATE and np.abs(part).argmax() in range(MARKED.start, MARKED.stop)


def test_a_map_of_an_array_without_a_rate_is_no_sound(tmp_path: Path) -> None:
    proto = net()
    del proto.metadata_props[:]
    found = onnxsal.explain(onnxsal.load(proto), marked(), method="gradient", target=0)  # the transform proves sound
    assert found.modality == "audio" and found.sample.heard.rate is None
    with pytest.raises(UsageError, match="nothing says at which rate"):
        found.to_sound(tmp_path / "part.wav")


@pytest.mark.parametrize(("along", "axis"), [("last", 1), ("first", 0)])
def test_masks_may_be_whole_seconds_or_whole_bands(loaded: onnxsal.Model, along: str, axis: int) -> None:
    """A second that is covered in all of its bins is the file on that spectrogram; RISE's masks are alike along it."""
    s = spectrogram(marked()).astype(np.float32)
    found = onnxsal.explain(
        loaded, s[None], method="occlusion", target=0, score="logit", along=along, patch=8, stride=8
    )
    assert found.raw.shape[1 - axis] == 1 and found.raw.shape[axis] == -(-s.shape[axis] // 8)
    at = int(np.abs(found.raw).argmax())
    covered = s.copy()
    covered.swapaxes(0, axis)[8 * at : 8 * at + 8] = 0
    assert found.raw.ravel()[at] == pytest.approx(flat_score(s) - flat_score(covered), rel=1e-3)
    masks = coarse_masks(5, 7, 0.5, along).make(0, 0, 5, s.shape)
    assert np.ptp(masks, axis=2 - axis).max() == 0 < np.ptp(masks, axis=1 + axis).min()


def test_a_compiled_file_gives_the_map_of_a_waveform(loaded: onnxsal.Model) -> None:
    x = np.pad(marked(), (0, N + 127 * HOP - 1_600))
    own = onnxsal.explain(loaded, x, method="gradient", target=0)
    session = onnxruntime.InferenceSession(onnxsal.compile(loaded, method="gradient", target=0).SerializeToString())
    found = dict(zip([each.name for each in session.get_outputs()], session.run(None, {"x": x[None]}), strict=True))
    np.testing.assert_allclose(found["saliency"][0], own.saliency, atol=2e-3)


@pytest.mark.parametrize("form", ["x4, hop, , taps", "x4, hop, window", "x4, hop, window, taps"])
@pytest.mark.parametrize("onesided", ["", "<onesided = 1>", "<onesided = 0>"])
@pytest.mark.parametrize("length", ["T", "320"])
def test_a_transform_has_the_bins_that_the_runtime_gives_it(form: str, onesided: str, length: str) -> None:
    """onnx counts twice the bins where onesided is left out, which stood in gradients as a size."""
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 18]> g (float[B, {length}] x) => (float[B, 2] y)
        <int64[1] two = {{2}}, int64[2] inner = {{1, 2}}, int64 hop = {{16}}, int64 taps = {{32}},
         float[2, 2] v = {{1, 2, 3, 4}}>
        {{ x4 = Unsqueeze (x, two) s = STFT {onesided} ({form}) p = Mul (s, s) r = ReduceSum <keepdims = 0> (p, inner)
          l = Sqrt (r) y = MatMul (l, v) }}"""
    )
    if "window" in form:
        proto.graph.initializer.append(numpy_helper.from_array(np.hanning(32).astype(np.float32), "window"))
    x, way = (RNG.normal(size=(1, 320)).astype(np.float32) for _ in range(2))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    one, other = (float(session.run(None, {"x": x + step * way})[0][0, 1]) for step in (1e-2, -1e-2))
    found = onnxsal.explain(onnxsal.load(proto), x, method="gradient", target=1, score="logit")
    assert float((found.raw.reshape(-1) * way.reshape(-1)).sum()) == pytest.approx((one - other) / 2e-2, rel=5e-3)
