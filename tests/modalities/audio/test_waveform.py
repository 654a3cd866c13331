"""Waveforms: what is taken for one, how files become one, and maps of it against closed forms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile

import onnxsal
from onnxsal.errors import EnvironmentSetupError, ImageError, UsageError
from onnxsal.modalities.audio.files import read_sound

RATE, STEPS = 8_000, 400
RNG = np.random.default_rng(0)
W, V = RNG.normal(size=(3, 1, 9)), RNG.normal(size=(3, 2))
X = (0.2 * RNG.normal(size=STEPS)).astype(np.float32)
FORMS = {
    "[B, T]": ("B, T", "axis = Constant <value_ints = [1]> () t = Unsqueeze (x, axis)", "NT"),
    "[B, 1, T]": ("B, 1, T", "t = Identity (x)", "NCT"),
    "[B, T, 1]": ("B, T, 1", "t = Transpose <perm = [0, 2, 1]> (x)", "NTC"),
    "[B, 400]": ("B, 400", "axis = Constant <value_ints = [1]> () t = Unsqueeze (x, axis)", "NT"),
}


def net(form: str = "[B, T]", rate: int | None = RATE) -> onnx.ModelProto:
    shape, front, _ = FORMS[form]
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[{shape}] x) => (float[B, 2] y) <int64[1] last = {{2}}>
        {{ {front} a = Conv <pads = [4, 4]> (t, w) r = Relu (a) m = ReduceMean <keepdims = 0> (r, last)
           y = MatMul (m, v) }}"""
    )
    for name, array in (("w", W), ("v", V)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    if rate is not None:
        proto.metadata_props.add(key="sample_rate", value=str(rate))
    return proto


def gradient(x: np.ndarray, target: int) -> np.ndarray:
    """y = v relu(w * x) / T, in float64."""
    wide = np.pad(np.asarray(x, np.float64), 4)
    a = np.stack([np.correlate(wide, taps[0], "valid") for taps in W])
    g = V[:, target, None] / len(x) * (a > 0)
    return sum(np.convolve(own, taps[0])[4:-4] for own, taps in zip(g, W, strict=True))


def saved(path: Path, samples: np.ndarray, rate: int = RATE) -> str:
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else "PCM_24")
    return str(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_and_its_samples_give_the_gradient_in_closed_form(tmp_path: Path, form: str) -> None:
    model = onnxsal.load(net(form))
    assert (model.modality.name, model.anatomy.entry.input_axes) == ("audio", FORMS[form][2])
    found = onnxsal.explain(model, saved(tmp_path / "x.wav", X), method="gradient", target=1)
    assert (found.modality, found.raw.shape, found.saliency.shape) == ("audio", (1, STEPS), (STEPS,))
    np.testing.assert_allclose(found.raw[0], gradient(X, 1), rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(onnxsal.explain(model, X, method="gradient", target=1).raw, found.raw)
    flac = onnxsal.explain(model, saved(tmp_path / "x.flac", X.clip(-1, 1)), method="gradient", target=1)
    np.testing.assert_allclose(flac.raw, found.raw, atol=1e-5)


def test_scores_are_those_of_the_file_at_the_sounds_own_length(tmp_path: Path) -> None:
    x = (0.1 * RNG.normal(size=1_234)).astype(np.float32)
    own = onnxruntime.InferenceSession(net().SerializeToString()).run(None, {"x": x[None]})[0][0]
    shown = onnxsal.load(net()).predict(saved(tmp_path / "x.wav", x), top=2)
    assert {one.index: one.logit for one in shown} == pytest.approx(dict(enumerate(own.tolist())), rel=1e-5)


def test_class_activation_and_masks_lie_along_time(tmp_path: Path) -> None:
    quiet = np.zeros(STEPS, np.float32)
    quiet[240:280] = 0.5 * np.sin(np.arange(40))
    path, model = saved(tmp_path / "x.wav", quiet), onnxsal.load(net())
    for method in ("layercam", "occlusion", "integrated-gradients"):
        found = onnxsal.explain(model, path, method=method, target=int(V.sum(0).argmax()))
        weight = np.abs(found.saliency - np.median(found.saliency))
        assert weight[210:310].sum() > 0.9 * weight.sum(), method
    found = onnxsal.explain(model, path, method="occlusion", patch=40, stride=40)
    assert found.raw.shape == (10,) and np.abs(np.delete(found.raw, 6)).max() < 1e-6 < abs(found.raw[6])


@pytest.mark.parametrize(
    ("samples", "rate", "why"),
    [
        (np.zeros((50, 2)) + 0.1, RATE, r"2 channels, and the model takes one: --mono"),
        (np.zeros(50) + 0.1, 44_100, r"44100 samples a second, and the model takes 8000 \(the model's metadata"),
    ],
)
def test_another_form_is_refused_with_what_may_be_done(tmp_path: Path, samples: Any, rate: int, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        onnxsal.explain(onnxsal.load(net()), saved(tmp_path / "x.wav", samples, rate), method="gradient")


def test_what_is_asked_for_is_done_and_said(tmp_path: Path) -> None:
    """Two channels of 16 kHz, too long for a file of 400 steps, from 50 ms on."""
    t = np.arange(8_000) / 16_000
    both = np.stack([0.4 * np.sin(2 * np.pi * 500 * t), 0.2 * np.sin(2 * np.pi * 500 * t)], axis=1)
    model = onnxsal.load(net("[B, 400]"), preprocess={"resample": True, "mono": True, "start": 0.05, "scale": 2.0})
    found = onnxsal.explain(model, saved(tmp_path / "x.wav", both, 16_000), method="gradient", target=0)
    wanted = 2 * 0.3 * np.sin(2 * np.pi * 500 * np.arange(400, 800) / 8_000)
    np.testing.assert_allclose(found.sample.x[0][20:], wanted[20:], atol=2e-3)  # behind the filter's edge
    notes = " ".join(found.manifest["notes"])
    assert "the 2 channels of 'x.wav' were averaged" in notes and "from 16000 to 8000 Hz" in notes
    assert "takes 0.05 s, and the sound has 0.45 s: the rest was left out" in notes
    short = onnxsal.explain(model, saved(tmp_path / "y.wav", both[:1_000, 0], 16_000), method="gradient")
    assert "silence was put behind it" in " ".join(short.manifest["notes"]) and not short.sample.x[0, -100:].any()


def test_a_model_that_nobody_calls_one_of_sound_takes_arrays_and_asks_for_the_rate(tmp_path: Path) -> None:
    path, model = saved(tmp_path / "x.wav", X), onnxsal.load(net("[B, 1, T]", None))
    assert model.modality.name == "sequence"
    with pytest.raises(UsageError, match="--rate HZ"):
        onnxsal.explain(model, path, method="gradient")
    said = onnxsal.load(net("[B, 1, T]", None), preprocess={"sampling_rate": RATE})
    found = onnxsal.explain(said, path, method="gradient", target=0)
    plain = onnxsal.explain(model, X[None], method="gradient", target=0)
    np.testing.assert_array_equal(found.raw, plain.raw)


def test_files_that_are_no_sound_or_hold_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    for name, samples, why in (
        ("text.wav", None, "no sound that can be read"),
        ("none.wav", np.zeros(0), "holds no samples"),
        ("nan.wav", np.array([0.1, np.nan]), r"not finite: 1 of 2 are NaN or infinite, the first at \[1"),
        ("missing.wav", None, "no such file"),
    ):
        if samples is not None:
            saved(tmp_path / name, samples)
        with pytest.raises(ImageError, match=why):
            read_sound(tmp_path / name)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(EnvironmentSetupError, match=r"pip install 'onnxsal\[audio\]'"):
        read_sound(__file__)


def test_the_part_that_matters_is_written_as_sound(tmp_path: Path) -> None:
    """The waveform times the map averaged over 25 ms: where the map is 0 silence, where it is strongest all of it."""
    model = onnxsal.load(net())
    found = onnxsal.explain(model, saved(tmp_path / "x.wav", X), method="occlusion", patch=40, stride=40)
    found.to_sound(tmp_path / "part.wav")
    part, rate = soundfile.read(tmp_path / "part.wav")
    gains = found.sample.heard.gains(found.saliency)
    assert rate == RATE and gains.max() == 1
    np.testing.assert_allclose(part, X * gains, atol=1e-6)
    own = np.abs(found.saliency.astype(np.float64))
    means = np.array([own[max(at - 100, 0) : at + 100].mean() for at in range(STEPS)])
    np.testing.assert_allclose(gains, means / means.max(), atol=1e-9)
    with pytest.raises(UsageError, match=r"\.wav or \.flac"):
        found.to_sound(tmp_path / "part.mp3")
