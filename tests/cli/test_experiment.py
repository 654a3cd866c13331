"""``onnxsal experiment``: what it prints and writes, and what it refuses before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from onnxsal.experiments.catalogue import NAMES


def test_a_figure_a_table_and_a_sentence(run, folder: Path) -> None:
    ended = run("experiment", "fluctuation", "model.onnx", "red.png", "-O", "steps=10", "-o", "path.png")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("path.png (")
    assert any(line.split()[:1] == ["green"] for line in lines)
    with Image.open("path.png") as image:
        assert image.width > 600


def test_as_json(run) -> None:
    ended = run("experiment", "combine", "model.onnx", "red.png", "-O", "methods=gradient", "-O", "samples=2", "--json")
    found = json.loads(ended.out)
    assert found["picture"] == "combine.png"
    assert [row["kind"] for row in found["rows"]] == ["plain", "smoothed"]
    assert found["rows"][0]["variation"]["n"] == 1
    assert found["rows"][0]["variation"]["low"] is None
    assert found["options"]["samples"] == 2


@pytest.mark.parametrize("name", ["occurrences", "discrimination"])
def test_a_target_that_is_not_read_is_said(run, name: str) -> None:
    what = ["experiment", name, "model.onnx", "red.png", "blue.png", "-O", "methods=grad-cam"]
    said = f"note: {name} explains the classes of the objects, and does not read -t\n"
    assert run(*what).err.count(said) == 0
    ended = run(*what, "-t", "red")
    assert (ended.status, ended.err.count(said)) == (0, 1), ended.err


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_lists_its_options(run, name: str) -> None:
    ended = run("experiment", name, "--help")
    assert ended.status == 0
    assert "Options of the experiment (-O name=value):" in ended.out
    assert "Source:" in ended.out
    assert "tuple" not in ended.out


@pytest.mark.parametrize(
    ("status", "said", "arguments"),
    [
        (2, "there is no experiment 'noise-grit'; did you mean 'noise-grid'?", ["noise-grit", "model.onnx", "red.png"]),
        (2, "has no option 'sample'; did you mean 'samples'?", ["combine", "model.onnx", "red.png", "-O", "sample=3"]),
        (2, "option samples=0 is out of range", ["combine", "model.onnx", "red.png", "-O", "samples=0"]),
        (2, "option samples is given twice", ["combine", "m", "i", "-O", "samples=2", "-O", "samples=3"]),
        (2, "pictures are written as", ["combine", "model.onnx", "red.png", "-o", "out.txt"]),
        (1, "the folder 'none' does not exist", ["combine", "model.onnx", "red.png", "-o", "none/out.png"]),
        (1, "no such picture: 'grey.png'", ["combine", "model.onnx", "grey.png"]),
        (1, "cannot read '.': it is a folder", ["combine", "model.onnx", "."]),
        (1, "'.' has no scenes.json", ["occurrences", "model.onnx", "."]),
        (2, "two pictures of different classes", ["discrimination", "model.onnx", "red.png", "red.png"]),
        (2, "there is no method 'gradcam'", ["combine", "model.onnx", "red.png", "-O", "methods=gradcam"]),
        (2, "missing argument 'IMAGE...'", ["combine", "model.onnx"]),
        *(
            (2, "takes no layer", [name, "model.onnx", "red.png", "-l", "x", *more])
            for name, more in (
                ("fluctuation", ()),
                ("noise-grid", ()),
                ("training-noise", ()),
                ("discrimination", ("-O", "methods=gradient")),
            )
        ),
        *(
            (2, "take no layer", [name, "model.onnx", "red.png", "-l", "x", *more])
            for name, more in (("combine", ()), ("occurrences", ("-O", "methods=gradient,input-x-gradient")))
        ),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    run, folder: Path, status: int, said: str, arguments: list[str]
) -> None:
    before = sorted(folder.iterdir())
    ended = run("experiment", *arguments)
    assert ended.status == status, ended.err
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("read", "arguments"),
    [
        ("red.png", ["combine", "model.onnx", "red.png", "-o", "red.png"]),
        ("combine.png", ["combine", "model.onnx", "combine.png"]),
        ("model.png", ["combine", "model.png", "red.png", "-o", "model.png"]),
        ("names.png", ["combine", "model.onnx", "red.png", "--labels", "names.png", "-o", "names.png"]),
        ("names.png", ["combine", "model.onnx", "red.png", "--preprocess", "names.png", "-o", "names.png"]),
        ("scenes/a.png", ["discrimination", "model.onnx", "scenes", "-o", "scenes/a.png"]),
        ("scenes/b.png", ["occurrences", "model.onnx", "scenes/", "-o", "./scenes/b.png"]),
        ("n10-s0.png", ["training-noise", "n{noise}-s{seed}.png", "scenes", "-o", "n10-s0.png"]),
    ],
)
def test_nothing_that_is_read_is_written_over(run, folder: Path, read: str, arguments: list[str]) -> None:
    (folder / "scenes").mkdir()
    shutil.copy("red.png", "combine.png")
    for name in ("model.png", "n0-s0.png", "n10-s0.png"):
        shutil.copy("model.onnx", name)
    Path("names.png").write_text("red\ngreen\nblue\ngreen apple\n")
    for name in ("a", "b"):
        shutil.copy("red.png", f"scenes/{name}.png")
    entry = {"picture": "a.png", "masks": "b.png", "labels": ["red"]}
    Path("scenes/scenes.json").write_text(json.dumps({"format": "onnxsal scenes 1", "scenes": [entry]}))
    before = Path(read).read_bytes()
    ended = run("experiment", *arguments)
    assert ended.status == 2
    assert "would be overwritten, and it is read" in ended.err
    assert Path(read).read_bytes() == before
