"""``onnxsal compile`` and what ``inspect`` says of its files."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import tiny_detectors

from onnxsal.cli.text import width
from onnxsal.compiler.metadata import METADATA


def test_a_compiled_file(run, folder: Path) -> None:
    ended = run(
        "compile", "model.onnx", "-o", "out.onnx", "-m", "score-cam", "-O", "top_k=2", "-t", "input", "--seed", 4
    )
    assert (ended.status, ended.out.strip()) == (0, "out.onnx")
    names = [value.name for value in onnx.load(folder / "out.onnx").graph.input]
    assert names[-2:] == ["target", "explain"]
    said = run("inspect", "out.onnx")
    assert said.status == 0
    assert "score-cam (preset=official, top_k=2), seed 4" in said.out
    known = json.loads(run("inspect", "out.onnx", "--json").out)["explainer"]
    noted = onnx.load(folder / "out.onnx")
    (entry,) = [each for each in noted.metadata_props if each.key == METADATA]
    entry.value = json.dumps(known | {"notes": ["a long note, " * 30]})
    onnx.save(noted, folder / "noted.onnx")
    lines = run("inspect", "noted.onnx").out.splitlines()
    assert all(len(line) <= width() or "sha256" in line for line in lines) and sum("long" in line for line in lines) > 3
    assert (known["method"], known["target"], known["seed"]) == ("score-cam", "input", 4)


def test_every_option_reaches_the_file(run, folder: Path) -> None:
    form = ["--opset", 17, "--bytes-in", "--preprocess", "unit", "--give", "drawing,raw"]
    form += ["--no-if", "--batch", 3, "--unroll", "--noise", "constants", "--fold-weights"]
    what = ["-m", "gradient", "--score", "probability", "-t", "1 minus 0", "-O", "sign=signed"]
    ended = run("compile", "model.onnx", "-o", "out.onnx", *form, *what)
    assert ended.status == 0, ended.err
    model = onnx.load(folder / "out.onnx")
    assert model.opset_import[0].version == 17
    assert [value.name for value in model.graph.output][-2:] == ["drawing", "raw"]
    (given,) = model.graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert given.type.tensor_type.shape.dim[0].dim_value == 3
    switches = "no_if, batch=3, unroll, noise_as=constants, fold_weights"
    assert f"switches   {switches}\n" in run("inspect", "out.onnx").out
    known = json.loads(run("inspect", "out.onnx", "--json").out)["explainer"]
    assert (known["target"], known["score"], known["signed"]) == ([1, 0], "probability", True)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-m", "grad-cam+"], 2, "grad-cam"),
        (["-m", "smoothgrad", "--opset", "17"], 1, "BitwiseXor"),
        (["--opset", "12"], 2, "opset=12: expected 17 to"),
        (["-t", "77"], 2, "target 77 is out of range"),
        (["-m", "smoothgrad", "-O", "inner=is-cam"], 1, "round another sampling method"),
        (["-O", "tolerance=0.1"], 2, "always draws all its samples"),
        (["--give", "salience"], 2, "did you mean 'saliency'"),
        (["-O", "sign=signed", "-O", "sign=positive"], 2, "given twice"),
        (["-m", "grad-cam", "-m", "gradient"], 2, "--method is given more than once: a file holds one method"),
        (["-m", "grad-cam,gradient"], 2, "a file holds one method, and -m names 2"),
        (["-t", "0", "-t", "0", "--target", "1"], 2, "--target is given more than once: a file holds one target"),
        (["--seed", "1", "--seed", "2"], 2, "--seed is given more than once: it takes one value"),
    ],
)
def test_what_cannot_be_compiled_is_one_message(
    run, folder: Path, arguments: list[str], status: int, message: str
) -> None:
    ended = run("compile", "model.onnx", "-o", "out.onnx", *arguments)
    assert ended.status == status
    assert message in ended.err
    assert ended.err.count("onnxsal: ") == 1
    assert not (folder / "out.onnx").exists()


def test_what_may_be_repeated_is_put_together(run, folder: Path) -> None:
    give = ["--give", "raw", "--give", "saliency,raw", "--bytes-in", "--bytes-in", "--preprocess", "unit"]
    ended = run("compile", "model.onnx", "-o", "out.onnx", "-l", "r1", "-l", "r2", *give)
    assert ended.status == 0, ended.err
    model = onnx.load(folder / "out.onnx")
    assert [value.name for value in model.graph.output][1:] == ["raw", "saliency"]
    assert json.loads(run("inspect", "out.onnx", "--json").out)["explainer"]["layer"] == ["r1", "r2"]


def test_places_that_cannot_be_written(run, folder: Path) -> None:
    assert "does not exist" in run("compile", "model.onnx", "-o", "nowhere/out.onnx").err
    assert "would be overwritten" in run("compile", "model.onnx", "-o", "model.onnx").err
    assert "is a folder" in run("compile", "model.onnx", "-o", str(folder)).err


def test_a_detector_s_file_says_what_it_takes_and_gives(run, folder: Path) -> None:
    onnx.save(tiny_detectors.detector("v8"), folder / "detector.onnx")
    given = ["detector.onnx", "-m", "gradient", "--give", "saliency,detections", "-o", "out.onnx"]
    assert run("compile", *given, "-t", "1@input").out == "out.onnx\n"
    said = run("inspect", "out.onnx").out
    assert "target      1, at a box that is fed\n" in said
    assert "gives       output0, saliency, detections, explained\n" in said
    sides = "left, top, right, bottom in pixels of the model's picture"
    assert f"box float32 [B, 4]: {sides}" in " ".join(said.split())  # long lines are wrapped
    assert "a number says where, a box too" in run("compile", *given, "-t", "#2@input").err
