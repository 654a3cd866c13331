"""``inspect`` and ``layers`` of files of every kind, several outputs, and elements on the command line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_models as tiny
from PIL import Image

from onnxsal.explanation import figure

COUNTS = """<ir_version: 10, opset_import: ["" : 21]> g (int64[B, T] counts) => (float[B, T] t)
    { floats = Cast <to = 1> (counts) t = Tanh (floats) }"""

FLAGS = """<ir_version: 10, opset_import: ["" : 21]> g (bool[B, 4] x) => (float[B, 4] y)
    { a = Cast <to = 1> (x) y = Mul (a, a) }"""


@pytest.fixture
def two(folder: Path) -> str:
    """A classifier that gives its maps as well."""
    text = tiny.BODY.replace("(float[N, 4] logits)", "(float[N, 4] logits, float[N, 6, 8, 8] r2)")
    tiny.write(tiny.build(text, tiny.weights()), folder / "two.onnx")
    return "two.onnx"


@pytest.mark.parametrize(("text", "why"), [(COUNTS, "'counts'"), (FLAGS, "'x'")])
def test_a_file_that_is_not_explained_is_told_of(run, folder: Path, text: str, why: str) -> None:
    onnx.save(onnx.parser.parse_model(text), folder / "any.onnx")
    ended = run("inspect", "any.onnx")
    said = " ".join(ended.out.split())
    assert ended.status == 0, ended.err
    assert "explain" in said and why in said
    known = json.loads(run("inspect", "any.onnx", "--json").out)
    assert why in known["why"] and len(known["outputs"]) == 1
    (line,) = known["works"]
    assert line in ended.out
    made = run(*shlex.split(line)[1:])
    assert made.status == 0, made.err
    assert onnxruntime.InferenceSession("gradient.onnx")
    layers = run("layers", "any.onnx")
    assert layers.status == 0 and layers.out.startswith("no layers: ")
    assert json.loads(run("layers", "any.onnx", "--json").out) == []
    assert run("explain", "any.onnx", "red.png").status == 1


TABLE = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 4] x) => (float[B, 1] y)
    <float[4, 1] w = {1, 2, -1, 3}> { y = MatMul (x, w) }"""
VOLUME = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 4, 2, 3, 2] x) => (float[B, 4] y)
    <int64[3] axes = {2, 3, 4}> { m = ReduceMean <keepdims = 0> (x, axes) y = Softmax (m) }"""
VECTOR = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 4] x) => (float[B, 4] y)
    { s = Sin (x) y = LpNormalization (s) }"""
GRID = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 5, 4] x) => (float[B, 5] y)
    <int64[1] last = {-1}> { s = Sin (x) y = ReduceMean <keepdims = 0> (s, last) }"""
ANY = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 4] x) => (float[2, B, 4] y)
    <int64[1] front = {0}> { s = Sin (x) u = Unsqueeze (s, front) y = Concat <axis = 0> (u, u) }"""


@pytest.mark.parametrize(
    ("text", "shape"), [(TABLE, (4,)), (VOLUME, (4, 2, 3, 2)), (VECTOR, (4,)), (GRID, (5, 4)), (ANY, (4,))]
)
def test_the_line_that_inspect_gives_explains(run, folder: Path, text: str, shape: tuple[int, ...]) -> None:
    onnx.save(onnx.parser.parse_model(text), folder / "any.onnx")
    np.save(folder / "thing.npy", np.linspace(0.2, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape))
    ended = run("inspect", "any.onnx")
    (line,) = [line for line in ended.out.splitlines() if line.startswith("explain ")]
    words = shlex.split(line.removeprefix("explain "))
    given = [word.replace("THING.npy", "thing.npy").replace("like:FILE", "like:thing.npy") for word in words[1:]]
    made = run(*given)
    assert (words[0], made.status) == ("onnxsal", 0), made.err


NO_RULE = """<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]> g (float[B, 1, 4] x) => (float[B, 1] y)
    <float[4, 1] w = {1, 2, -1, 3}>
    { f = Flatten (x) a = ai.onnx.ml.Imputer <imputed_value_floats = [0.5], replaced_value_float = -1.0> (f)
      y = MatMul (a, w) }"""


@pytest.mark.parametrize(("text", "method"), [(TABLE, "gradient"), (NO_RULE, "occlusion")])
def test_without_m_the_method_is_one_that_applies_which_is_said(run, folder: Path, text: str, method: str) -> None:
    """Of y = wx the gradient is w; covered with 0, position i lowers y by w_i x_i."""
    onnx.save(onnx.parser.parse_model(text), folder / "any.onnx")
    things = np.array([[0.5, 1, 2, -3], [3, 0.25, -2, 1]], np.float32)
    for name, thing in zip("ab", things, strict=True):
        np.save(folder / f"{name}.npy", thing if method == "gradient" else thing[None])
    made = run("explain", "any.onnx", "a.npy", "-t", "0", "-o", "a.png", "--npz", "a.npz")
    assert made.status == 0 and f"note: explains with {method}" in made.err and "grad-cam++ does not" in made.err
    share = 1 if method == "gradient" else things[0]
    with np.load(folder / "a.npz") as arrays:
        np.testing.assert_allclose(arrays["raw"].ravel(), np.array([1, 2, -1, 3]) * share, rtol=1e-6)
    (line,) = [line for line in run("inspect", "any.onnx").out.splitlines() if line.startswith("explain ")]
    assert shlex.split(line)[-2:] == ["-m", method]
    compiled = run("compile", "any.onnx", "-t", "0", "-o", "file.onnx", "--keep-custom")
    assert compiled.status == 0 and f"explains with {method}" in compiled.err
    if method == "gradient":
        (found,) = onnxruntime.InferenceSession("file.onnx").run(["saliency"], {"x": things})
        assert found.shape == (2, 4) and (found == found[0]).all()


TIME = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 1, T] x) => (float[B, 2] y)
    <float[2, 1, 3] w = {1.0, 2.0, 3.0, -1.0, 0.5, 1.0}>
    { a = Conv (x, w) b = GlobalMaxPool (a) y = Flatten (b) }"""


def test_one_length_is_said_and_a_sequence_is_not_called_a_photograph(run, folder: Path, monkeypatch) -> None:
    onnx.save(onnx.parser.parse_model(TIME), folder / "time.onnx")
    np.save(folder / "thing.npy", np.linspace(-1, 1, 40, dtype=np.float32)[None])
    for before, behind in ((["--size", "40"], []), ([], ["--size", "40"]), (["--size=40"], [])):
        ended = run("inspect", *before, "time.onnx", *behind, "--json")
        assert {"what": "size", "value": "T 40", "why": "asked for"} in json.loads(ended.out)["decided"], ended.err
    assert "whole numbers from 1 on for T" in run("inspect", "time.onnx", "--size", "4", "5").err
    assert "not one or several whole numbers" in run("inspect", "time.onnx", "--size", "0").err
    drawn: list[str] = []
    grid = figure.grid
    monkeypatch.setattr(
        figure, "grid", lambda tiles, **more: drawn.extend(t.title for t in tiles) or grid(tiles, **more)
    )
    made = run("explain", "time.onnx", "thing.npy", "-m", "gradient,occlusion", "-t", "0", "-o", "two.png")
    assert (made.status, drawn) == (0, ["sequence", "gradient", "occlusion"]), made.err


@pytest.mark.parametrize(("text", "noun", "shape"), [(TIME, "series", (1, 8)), (TABLE, "array", (4,))])
def test_what_a_method_says_is_said_of_the_thing(run, folder: Path, text: str, noun: str, shape: tuple) -> None:
    onnx.save(onnx.parser.parse_model(text), folder / "any.onnx")
    np.save(folder / "thing.npy", np.ones(shape, np.float32))
    ended = run("explain", "any.onnx", "thing.npy", "-m", "occlusion", "-t", "0", "-O", "patch=1", "-O", "stride=900")
    assert ended.status == 2 and f"expected sides inside the {noun}, " in ended.err and "picture" not in ended.err


def test_a_file_that_takes_nothing_is_inspected(run, folder: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g () => (float[2] y) <float[2] a = {1, 2}> { y = Sin (a) }"""
    onnx.save(onnx.parser.parse_model(text), folder / "any.onnx")
    ended = run("inspect", "any.onnx")
    assert (ended.status, "nothing to explain" in " ".join(ended.out.split())) == (0, True), ended.err


def test_what_onnx_runtime_does_not_load_is_an_error(run, folder: Path) -> None:
    (folder / "text.onnx").write_text("no model")
    assert run("inspect", "text.onnx").status == 1
    assert run("inspect", "none.onnx").status != 0
    assert run("inspect", "model.onnx", "--head", "nothing").status == 2


def test_each_output_is_told_with_what_names_an_element(run, two: str) -> None:
    ended = run("inspect", two)
    said = " ".join(ended.out.split())
    assert "'logits': float [N, 4]: 4 classes; -t 'logits[0, 2]' (explained)" in said
    assert "'r2': float [N, 6, 8, 8]: any element; -t 'r2[0, 3, 4, 4]'" in said
    known = json.loads(run("inspect", two, "--json").out)
    assert [(each["task"], each["element"]) for each in known["outputs"]] == [
        ("classification", "logits[0, 2]"), ("element", "r2[0, 3, 4, 4]"),
    ]  # fmt: skip
    (head,) = [each for each in known["decided"] if each["what"] == "head"]
    assert head["value"] == "logits"
    command = next(line for line in ended.out.splitlines() if line.startswith("explain")).split(maxsplit=1)[1]
    assert run(*shlex.split(command.replace("IMAGE", "red.png"))[1:]).status == 0


def test_predict_tells_the_shape_that_each_thing_of_its_own_length_has(run, folder: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[1, 1, T] x) => (float[1, 1, T] y)
        <float[1, 1, 1] w = {2}> { c = Conv (x, w) y = Sin (c) }"""
    onnx.save(onnx.parser.parse_model(text), folder / "open.onnx")
    for length in (5, 9):
        np.save(folder / f"{length}.npy", np.ones((1, length), np.float32))
    ended = run("predict", "open.onnx", "5.npy", "9.npy", "--task", "element")
    assert ended.status == 0, ended.err
    said = [line for line in ended.out.splitlines() if line[0] != " "]
    told = "'y' has the shape [1, 1, {}]; its largest numbers, each as a target:"
    assert said == [told.format(5), "5.npy", told.format(9), "9.npy"]


def test_predict_shows_numbers_that_can_be_copied(run, two: str) -> None:
    ended = run("predict", two, "red.png", "--head", "r2", "--top", "2")
    assert ended.status == 0, ended.err
    assert "'r2' has the shape [1, 6, 8, 8]" in ended.out and "%" not in ended.out
    x = np.asarray(Image.open("red.png").resize((16, 16), Image.Resampling.BILINEAR), np.float32)
    given = onnxruntime.InferenceSession(two).run(["r2"], {"picture": x.transpose(2, 0, 1)[None] / 255})[0]
    lines = [line.split(maxsplit=1) for line in ended.out.splitlines() if " -t " in line]
    best = np.unravel_index(np.argsort(-given.reshape(-1), kind="stable")[0], given.shape)
    assert lines[0] == [f"{given.max():.4g}", f"-t 'r2[{', '.join(map(str, best))}]'"]
    target = shlex.split(lines[0][1])
    made = run("explain", two, "red.png", "-m", "gradient", *target)
    assert made.status == 0, made.err
    assert f"target  {target[1]}, {lines[0][0]}\n" in made.out


def test_an_element_is_asked_for_whatever_the_task(run, two: str) -> None:
    ended = run("explain", two, "red.png", "-m", "gradient", "-t", "r2[0, 2, :, 4]", "-t", "red", "--json")
    assert ended.status == 0, ended.err
    first, second = json.loads(ended.out)["explanations"]
    assert (first["target"], first["manifest"]["target"], second["target"]) == ("r2[0, 2, :, 4]", "r2[0, 2, :, 4]", 0)
    wrong = run("explain", two, "red.png", "-m", "gradient", "-t", "r2[0, 9, 0, 0]")
    assert (wrong.status, "9 is out of range for axis 1 of 'r2', whose shape is [1, 6, 8, 8]" in wrong.err) == (2, True)
    written = run("compile", two, "-m", "gradient", "-t", "r2[0, 2, :, 4]", "-o", "compiled.onnx")
    assert written.status == 0, written.err
    assert "r2[0, 2, :, 4]" in run("inspect", "compiled.onnx").out
    others = [
        run("evaluate", two, "red.png", "-m", "gradient", "--metrics", "deletion", "-t", "r2[0, 2, :, 4]"),
        run("diff", two, two, "red.png", "-m", "gradient", "-t", "r2[0, 2, :, 4]"),
        run("experiment", "combine", two, "red.png", "-O", "methods=gradient", "-O", "samples=2",
            "-t", "r2[0, 2, :, 4]"),
    ]  # fmt: skip
    for each in (written, *others):
        assert each.status == 0 and "explains 'logits'" not in each.err, each.err
