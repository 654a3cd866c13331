"""Steps of time: characters and words of a small CTC recogniser made by hand, against finite differences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile

import onnxsal
from onnxsal.cli import main
from onnxsal.errors import NotSeenError, UsageError
from onnxsal.tasks.transcript import words_in

NAMES = ["<pad>", "|", "a", "b", "c"]
SPOKEN = [0, 2, 2, 0, 2, 3, 1, 4, 2, 0, 3, 0]  # aab cab
RATE, HOP = 1000, 4
W = np.random.default_rng(0).normal(0, 1, (5, HOP))
CENTRES = np.linalg.pinv(W) @ (4 * np.eye(5) - 0.8)  # which sound each label has


def logits(x: np.ndarray) -> np.ndarray:
    """Return what the model computes, in float64, [T, 5]."""
    return np.tanh(x.reshape(-1, HOP)) @ W.T


def probability(x: np.ndarray) -> np.ndarray:
    e = np.exp(logits(x))
    return e / e.sum(1, keepdims=True)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 1, 48] x) => (float[B, 12, 5] chars)
        { u = Tanh (x) f = Conv <kernel_shape = [4], strides = [4]> (u, w) t = Transpose <perm = [0, 2, 1]> (f)
          chars = LogSoftmax <axis = -1> (t) }"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(W[:, None].astype(np.float32), "w"))
    onnx.save(proto, tmp_path / "ctc.onnx")
    (tmp_path / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(NAMES)}))
    return tmp_path / "ctc.onnx"


def spoken() -> np.ndarray:
    """Return a sound whose best path is what is spoken, by the labels' own sounds, the nearest that tanh allows."""
    found = []
    for label in SPOKEN:
        tried = np.random.default_rng(label).uniform(-1, 1, (4000, HOP))
        z = np.tanh(tried) @ W.T
        found.append(tried[np.argmax(z[:, label] - np.delete(z, label, 1).max(1))])
    return np.concatenate(found)


def slope(f: object, x: np.ndarray) -> np.ndarray:
    """Return the gradient of a function of x by differences."""
    steps = 1e-6 * np.eye(len(x))
    return np.array([(f(x + step) - f(x - step)) / 2e-6 for step in steps])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("target", "picks", "label"),
    [("a at #5", [(5, 2)], "a at #5"), ("#-2", [(10, 3)], "b at #10"), ("c at 0.03s", [(7, 4)], "c at 0.03 s (#7)"),
     ("0.0079s", [(1, 2)], "a at 0.0079 s (#1)"), ("c", [(7, 4)], "c at #7"),
     ("cab", [(7, 4), (8, 2), (10, 3)], "cab at #7 to #10"),
     ("aab at #4", [(1, 2), (2, 2), (4, 2), (5, 3)], "aab at #1 to #5")],
)  # fmt: skip
def test_a_step_a_character_a_word(model: Path, target: str, picks: list[tuple[int, int]], label: str) -> None:
    x = spoken()
    assert probability(x).argmax(1).tolist() == SPOKEN
    sound = model.with_name("x.wav")
    soundfile.write(sound, x, RATE, subtype="DOUBLE")
    loaded = onnxsal.load(model, labels=model.with_name("vocab.json"), preprocess={"sampling_rate": RATE})
    assert loaded.task.name == "steps"
    for score, f in (("logit", logits), ("probability", probability)):
        found = onnxsal.explain(loaded, sound, method="gradient", target=target, score=score)
        expected = slope(lambda z, f=f: sum(f(z)[t, k] for t, k in picks), x)  # type: ignore[misc]
        np.testing.assert_allclose(found.raw[0], expected, rtol=1e-3, atol=1e-5)
        assert found.label == label


def test_what_is_written_is_told_and_what_is_not_is_refused(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    x = spoken()
    soundfile.write("x.wav", x, RATE, subtype="DOUBLE")
    opened = ["ctc.onnx", "x.wav", "--labels", "vocab.json", "--rate", str(RATE)]
    assert main(["predict", *opened]) == 0
    told = capsys.readouterr().out
    assert "aab at #1 to #5" in told and "cab at #7 to #10" in told
    loaded = onnxsal.load(model, labels=NAMES, preprocess={"sampling_rate": RATE})
    for target, error, message in (
        ("cub", NotSeenError, "did you mean 'cab'"), ("a at #12", UsageError, "#0 to #11"),
        ("a at 2s", UsageError, "has 0.048 s"), ("cab at #1", NotSeenError, "neither a label nor a word"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            onnxsal.explain(loaded, "x.wav", method="gradient", target=target)
    alone = onnxsal.load(model, task="steps")  # without labels and a rate: labels by number at steps by number
    found = onnxsal.explain(alone, x[None].astype(np.float32), method="gradient", target="2 at #5 minus 3 at #5")
    expected = slope(lambda z: logits(z)[5, 2] - logits(z)[5, 3], x)
    np.testing.assert_allclose(found.raw[0], expected, rtol=1e-3, atol=1e-5)
    with pytest.raises(UsageError, match="--rate HZ"):
        onnxsal.explain(alone, x[None].astype(np.float32), method="gradient", target="0.01s")
    opened = ["--labels", "vocab.json", "-o", "c.onnx"]
    assert main(["compile", "ctc.onnx", "-m", "gradient", "-t", "a at #5", *opened]) == 0
    made = onnxruntime.InferenceSession("c.onnx")
    (saliency,) = made.run(["saliency"], {made.get_inputs()[0].name: x[None, None].astype(np.float32)})
    same = onnxsal.explain(loaded, "x.wav", method="gradient", target="a at #5").saliency
    np.testing.assert_allclose(saliency[0], same, atol=1e-5)


def test_probabilities_that_are_turned_are_taken_as_they_are(model: Path) -> None:
    proto = onnx.load(model)
    *front, turn, soft = proto.graph.node
    turn.input[0], soft.input[0], soft.op_type, soft.attribute[0].i = "p", front[-1].output[0], "Softmax", 1
    turn.output[0], soft.output[0] = "chars", "p"
    del proto.graph.node[:]
    proto.graph.node.extend([*front, soft, turn])
    x = spoken()
    found = onnxsal.explain(
        onnxsal.load(proto, labels=NAMES), x[None].astype(np.float32), method="gradient", target="a at #5"
    )
    expected = slope(lambda z: probability(z)[5, 2], x)
    np.testing.assert_allclose(found.raw[0], expected, rtol=1e-3, atol=1e-5)


def test_words_of_a_path() -> None:
    names = ["ε", "▁", "▁on", "e", "x", ""]
    path = np.array([0, 2, 2, 3, 0, 3, 1, 0, 4, 5, 4])
    assert [(w.text, w.steps) for w in words_in(path, names, 0)] == [("onee", (1, 2, 3, 5)), ("x", (8,)), ("x", (10,))]
