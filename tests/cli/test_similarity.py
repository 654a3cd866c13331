"""Embeddings on the command line: references as text, predict's table of cosines, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

Run = Callable[..., Any]

NAMES = ("a.png", "b.png", "c minus d.png")


@pytest.fixture
def embedder(folder: Path) -> onnx.ModelProto:
    """A model of colours that is called one.onnx, and photographs beside it."""
    rng = np.random.default_rng(0)
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 8, 8] x) => (float[B, 5] e)
        { c = Conv (x, w, b) r = Relu (c) m = GlobalAveragePool (r) f = Flatten (m)
        e = LpNormalization <axis = 1> (f) }"""
    )
    weights = {"w": rng.normal(0, 1, (5, 3, 3, 3)), "b": rng.normal(0, 0.2, 5)}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items())
    onnx.helper.set_model_props(proto, {"onnxsal.preprocess": '{"preset": "unit", "fit": "squash"}'})
    onnx.save(proto, folder / "one.onnx")
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / name)
    np.save(folder / "v.npy", rng.normal(0, 1, 5))
    return proto


def vectors(proto: onnx.ModelProto, folder: Path) -> dict[str, NDArray[np.float64]]:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    read = {n: np.asarray(Image.open(folder / n), np.float32).transpose(2, 0, 1)[None] / 255 for n in NAMES}
    found = {name: session.run(None, {"x": x})[0][0].astype(np.float64) for name, x in read.items()}
    own = np.load(folder / "v.npy")
    return {**found, "v.npy": own / np.linalg.norm(own)}


def test_predict_shows_the_cosine_of_every_two(run: Run, embedder: onnx.ModelProto, folder: Path) -> None:
    known = vectors(embedder, folder)
    ended = run("predict", "one.onnx", "a.png", "b.png", "--json")
    assert ended.status == 0, ended.err
    np.testing.assert_allclose(
        json.loads(ended.out)["alike"], [[1, c := known["a.png"] @ known["b.png"]], [c, 1]], atol=1e-5
    )
    text = run("predict", "one.onnx", "a.png", "b.png")
    assert f"  1  a.png   1.000  {c:.3f}" in text.out.splitlines()
    assert "length of 'e', a vector of 5 numbers" in text.out
    assert "an embedding is explained by what it is like: -t like:FILE" in text.err
    assert "cosine" not in run("predict", "one.onnx", "a.png").out


def test_a_reference_is_text(run: Run, embedder: onnx.ModelProto, folder: Path) -> None:
    known = vectors(embedder, folder)
    a, wanted = known["a.png"], {
        "like:b.png": known["b.png"],
        "like:v.npy": known["v.npy"],
        "like:b.png minus like:v.npy": known["b.png"] - known["v.npy"],
        "like:c minus d.png": known["c minus d.png"],
        "like:c minus d.png minus like:b.png": known["c minus d.png"] - known["b.png"],
    }  # fmt: skip
    targets = [part for text in wanted for part in ("-t", text)]
    ended = run("explain", "one.onnx", "a.png", "-m", "similarity-map", *targets, "--json")
    assert ended.status == 0, ended.err
    rows = json.loads(ended.out)["explanations"]
    assert [row["target"] for row in rows] == list(wanted)
    np.testing.assert_allclose([row["logit"] for row in rows], [a @ v for v in wanted.values()], atol=1e-5)
    text = run("explain", "one.onnx", "a.png", "-m", "gradient", "-t", "like:b.png").out
    assert f"like b.png, {a @ known['b.png']:.4g}" in text


def test_a_compiled_file_says_what_it_is_like(run: Run, embedder: onnx.ModelProto) -> None:
    assert run("compile", "one.onnx", "-m", "similarity-map", "-t", "like:b.png", "-o", "out.onnx").status == 0
    assert "like:b.png" in run("inspect", "out.onnx").out
    assert run("compile", "one.onnx", "-t", "input", "-o", "in.onnx").status == 0
    assert [i.name for i in onnx.load("in.onnx").graph.input] == ["x", "reference", "explain"]


def test_evaluate_takes_a_reference(run: Run, embedder: onnx.ModelProto) -> None:
    ended = run(
        "evaluate", "one.onnx", "a.png", "-m", "gradient", "--metrics", "deletion", "-t", "like:b.png", "--json", "-"
    )
    assert ended.status == 0, ended.err
    assert {row["label"] for row in json.loads(ended.out)["rows"]} == {"like b.png"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "an embedding is no class, and nothing is predicted of it"),
        (("-t", "b.png"), "a target of an embedding is a reference; got 'b.png'"),
        (("-t", "like:missing.png"), "no such picture: 'missing.png'"),
        (("-t", "like:b.png minus like:b.png"), "have one direction"),
        (("-t", "like:b.png", "-o", "b.png"), "'b.png' would be overwritten, and it is read"),
    ],
)  # fmt: skip
def test_what_is_refused(run: Run, embedder: onnx.ModelProto, words: tuple[str, ...], said: str) -> None:
    ended = run("explain", "one.onnx", "a.png", *words)
    assert (ended.status > 0, ended.out) == (True, "")
    assert said in ended.err
