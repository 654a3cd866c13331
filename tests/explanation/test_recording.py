"""Recordings: a hand-made recurrent model in closed form, and a trained one on silence with one marked sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import ModelError, UsageError

KEEP, CHUNK = 0.5, 4
W = np.array([1.0, -2, 0.5, 3])
MODEL = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, %s] x, float[B, 1] %s)
    => (float[B, 1] y, float[B, 1] %s) <float[4, 1] w = {1, -2, 0.5, 3}, float keep = {0.5}>
    { f = MatMul (x, w) d = Mul (%s, keep) %s = Add (d, f) y = Mul (%s, %s) }"""
X = np.random.default_rng(0).normal(0, 1, 18).astype(np.float32)


def model(steps: str = "4", before: str = "h0", after: str = "hN", **more: object) -> onnxsal.Model:
    """h' = h / 2 + w x, y = h' squared."""
    proto = onnx.parser.parse_model(MODEL % (steps, before, after, before, after, after, after))
    return onnxsal.load(proto, task="regression", head="y", explained="x", **more)


def closed(x: np.ndarray, hop: int, first: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the hidden value behind every chunk, and what each of its own steps counts there, [chunks, padded]."""
    count = -(-len(x) // hop)
    padded = np.pad(x.astype(np.float64), (CHUNK - hop, count * hop - len(x)))
    h, ways = first, np.zeros(len(padded))
    values, slopes = [], []
    for i in range(count):
        h, ways = KEEP * h + W @ padded[i * hop : i * hop + CHUNK], KEEP * ways
        ways[i * hop : i * hop + CHUNK] += W
        values.append(h)
        slopes.append(ways.copy())
    return np.array(values), np.array(slopes)[:, CHUNK - hop : CHUNK - hop + len(x)]


@pytest.mark.parametrize("hop", [4, 3, 1])
def test_the_map_is_the_closed_form_through_all_chunks(hop: int) -> None:
    values, slopes = closed(X, hop)
    recording = onnxsal.Recording(X, hop=hop, at=3, unrolled=99)
    np.testing.assert_allclose(recording.run(model()).scores, values**2, rtol=1e-5)
    found = onnxsal.explain(model(), recording, method="gradient")
    assert found.logit == pytest.approx(values[3] ** 2, rel=1e-5)
    np.testing.assert_allclose(found.raw[0], 2 * values[3] * slopes[3], rtol=1e-4, atol=1e-6)
    assert found.saliency.shape == X.shape and found.is_drawn
    assert found.manifest["recording"] | {"unrolled": 4, "states": {"h0": "hN"}} == found.manifest["recording"]
    assert "as given" in found.manifest["recording"]["state"]


@pytest.mark.parametrize("unrolled", [1, 2])
def test_what_lies_before_is_held_at_its_true_value_and_said(unrolled: int) -> None:
    """The score is that of the whole recording all the same; of what is before, the map says nothing."""
    loaded = model(inputs={"h0": np.full((1, 1), 2, np.float32)})
    values, slopes = closed(X, 4, first=2.0)
    found = onnxsal.explain(loaded, onnxsal.Recording(X, at=-2, unrolled=unrolled), method="gradient")
    assert found.logit == pytest.approx(values[3] ** 2, rel=1e-5)
    expected = 2 * values[3] * slopes[3]
    expected[: 4 * (4 - unrolled)] = 0
    np.testing.assert_allclose(found.raw[0], expected, rtol=1e-4, atol=1e-6)
    about = found.manifest["recording"]
    assert (about["covers"], about["unrolled"]) == ([4 * (4 - unrolled), 16], unrolled)
    assert "held at its true value" in about["state"] and "0 there" in found.manifest["notes"][-1]


def test_draws_of_a_batch_carry_the_state_too() -> None:
    found = onnxsal.explain(
        model(), onnxsal.Recording(X, at=4, unrolled=2), method="occlusion", patch=1, stride=1, score="value"
    )
    values, slopes = closed(X, 4)
    expected = values[4] ** 2 - (values[4] - slopes[4] * X) ** 2
    expected[:12] = 0
    np.testing.assert_allclose(found.raw, expected, rtol=1e-3, atol=1e-5)


def test_states_are_said_where_no_name_proves_them(tmp_path: Path) -> None:
    loaded = model(before="memory", after="passed", inputs={"memory": np.zeros((1, 1), np.float32)})
    values, _ = closed(X, 4)
    alone = onnxsal.Recording(X, at=3).run(loaded).scores
    assert not np.allclose(alone, values**2)  # each chunk by itself
    notes = onnxsal.explain(loaded, onnxsal.Recording(X, at=3), method="gradient").manifest["notes"]
    assert "no state is carried" in notes[-1]
    np.save(tmp_path / "x.npy", X)
    said = onnxsal.Recording(tmp_path / "x.npy", states={"memory": "passed"}, second=2.6, rate=5)
    np.testing.assert_allclose(said.run(loaded).scores, values**2, rtol=1e-5)
    assert onnxsal.explain(loaded, said, method="gradient").manifest["recording"]["at"] == 3
    for states, message in (({"memry": "passed"}, "did you mean 'memory'"), ({"memory": "y"}, "or explained")):
        with pytest.raises(UsageError, match=message):
            onnxsal.Recording(X, states=states).run(loaded)


def test_what_does_not_fit_is_said() -> None:
    for recording, message in (
        (onnxsal.Recording(X, hop=5), "hop=5: of 4 steps"), (onnxsal.Recording(X, chunk=5), "takes 4 steps at once"),
        (onnxsal.Recording(X, at=5), "there is no chunk 5: 'array' has 5"),
        (onnxsal.Recording(X, second=1.0), "rate="),
        (onnxsal.Recording(X[:, None, None]), "of which axis 1 is time"),
        (onnxsal.Recording(X, unrolled=0), "unrolled"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            onnxsal.explain(model(), recording, method="gradient")
    text = MODEL % ("T", "h0", "hN", "h0", "hN", "hN", "hN")
    proto = onnx.parser.parse_model(
        text.replace("MatMul (x, w)", "ReduceMean <axes = [1]> (x)").replace(": 21", ": 17")
    )
    loaded = onnxsal.load(proto, task="regression", head="y", explained="x")
    with pytest.raises(UsageError, match="leaves open how many steps go in at once: --chunk N"):
        onnxsal.Recording(X).run(loaded)
    assert len(onnxsal.Recording(X, chunk=6).run(loaded).scores) == 3


def test_speech_is_found_in_the_second_where_it_is(shared: Path) -> None:
    """Silence, and in one second of it a voice made of harmonics: the curve and the map tell where."""
    path, rate = shared / "reach" / "silero_op15.onnx", 16000
    t, rng = np.arange(3 * rate) / rate, np.random.default_rng(0)
    pitch = 2 * np.pi * np.cumsum(120 + 25 * np.sin(2 * np.pi * 3 * t)) / rate
    voice = sum(np.sin(k * pitch) / k * np.exp(-(((k * 120 - 600) / 700) ** 2)) for k in range(1, 25))
    sound = 1e-4 * rng.normal(0, 1, t.size) + np.where(
        (t >= 1) & (t < 2), 0.3 * voice * (0.6 + 0.4 * np.sin(25 * t)), 0
    )
    loaded = onnxsal.load(path, inputs={"sr": np.array(rate)}, size=576)
    recording = onnxsal.Recording(sound.astype(np.float32), hop=512, rate=rate, unrolled=4)
    ran = recording.run(loaded)
    session, state = onnxruntime.InferenceSession(path), np.zeros((2, 1, 128), np.float32)
    own, padded = [], np.pad(sound, (64, 512)).astype(np.float32)
    for i in range(len(ran.scores)):
        score, state = session.run(None, {"input": padded[None, 512 * i : 512 * i + 576], "state": state,
                                          "sr": np.array(rate)})  # fmt: skip
        own.append(float(score[0, 0]))
    np.testing.assert_allclose(ran.scores, own, rtol=1e-4, atol=1e-6)
    where = ran.seconds(rate)
    assert 1 <= where[ran.scores.argmax()] < 2 and ran.scores.max() > 5 * ran.scores[where < 0.9].max()
    found = onnxsal.explain(loaded, recording, method="input-x-gradient")
    assert found.logit == pytest.approx(ran.scores.max(), rel=1e-4) or found.score == pytest.approx(ran.scores.max())
    energy = np.abs(found.raw[0])
    assert energy[rate : 2 * rate].sum() > 0.99 * energy.sum()


def test_a_whole_recording_where_chunks_are_taken_is_told_how_to_go_in() -> None:
    """A graph whose If hides which lengths it takes, as of models of streams at two rates."""
    text = MODEL % ("N", "h0", "hN", "h0", "hN", "hN", "hN")
    text = text.replace("float keep", "float[8, 1] w8, float keep").replace("x, float", "x, bool slow, float")
    text = text.replace(
        "f = MatMul (x, w)",
        """f = If (slow) <then_branch = t () => (float[B, 1] u) { u = MatMul (x, w8) },
                       else_branch = e () => (float[B, 1] v) { v = MatMul (x, w) }>""",
    )
    proto = onnx.parser.parse_model(text.replace("float[8, 1] w8", "float[8, 1] w8 = {1, 1, 1, 1, 1, 1, 1, 1}"))
    given = {"task": "regression", "head": "y", "explained": "x", "inputs": {"slow": False}}
    with pytest.raises(ModelError, match=r"runs at none that was tried.*chunk by chunk: --chunk N"):
        onnxsal.load(proto, **given)
    opened = onnxsal.load(proto, **given, size=(4,), preprocess={"sampling_rate": 16000})
    with pytest.raises(UsageError, match=r"chunk by chunk: --chunk N \(onnxsal.Recording\)"):
        onnxsal.explain(opened, X, method="gradient")
    whole = onnxsal.Recording(X, at=3)
    np.testing.assert_allclose(whole.run(opened).scores, closed(X, 4)[0] ** 2, rtol=1e-5)
