"""``onnxsal diff``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def two(folder: Path) -> Path:
    """The folder with a second copy of the model."""
    shutil.copy("model.onnx", "copy.onnx")
    Path("empty").mkdir()
    return folder


def test_table_picture_and_page(run, two: Path) -> None:
    ended = run("diff", "model.onnx", "copy.onnx", "red.png", "blue.png", "-o", "worst.png", "--report", "drift.html")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("2 of 2 pictures get the same class (34.2 to 100.0 %)\n")
    assert ended.out.splitlines()[-2:] == ["worst.png", "drift.html"]
    with Image.open("worst.png") as image:
        assert np.asarray(image).std() > 10
    assert "<title>Do two models look at the same things?</title>" in Path("drift.html").read_text(encoding="utf-8")


def test_as_json(run, two: Path) -> None:
    found = json.loads(run("diff", "model.onnx", "copy.onnx", "red.png", "--json").out)
    assert found["cosine"]["value"] == pytest.approx(1.0)
    assert found["cosine"]["low"] is None  # one picture has no interval
    assert found["pictures"][0]["predicted"][0]["label"] == "red"
    assert found["settings"]["method"] == "grad-cam++"


def test_folders_and_patterns(run, two: Path) -> None:
    (two / "photos" / "below").mkdir(parents=True)
    shutil.copy("red.png", "photos/r.png")
    shutil.copy("blue.png", "photos/below/b.png")
    Path("photos/notes.txt").write_text("no picture")
    for meant in (["photos"], ["photos/**/*.png"], ["photos", "photos/r.png"]):
        found = json.loads(run("diff", "model.onnx", "copy.onnx", *meant, "--json").out)
        assert sorted(each["image"] for each in found["pictures"]) == ["photos/below/b.png", "photos/r.png"]


def test_a_broken_picture_is_named_and_the_others_are_compared(run, two: Path) -> None:
    Path("broken.png").write_bytes(b"none")
    ended = run("diff", "model.onnx", "copy.onnx", "red.png", "broken.png")
    assert ended.status == 1
    assert "'broken.png' is not a picture" in ended.err
    assert ended.out.startswith("1 of 1 pictures")


@pytest.mark.parametrize(
    ("status", "said", "arguments"),
    [
        (2, "missing argument 'IMAGE...'", ["model.onnx", "copy.onnx"]),
        (1, "'none.onnx'", ["model.onnx", "none.onnx", "red.png"]),
        (2, "should end in .html", ["model.onnx", "copy.onnx", "red.png", "--report", "drift.pdf"]),
        (1, "the folder 'none' does not exist", ["model.onnx", "copy.onnx", "red.png", "--report", "none/d.html"]),
        (2, "the folder 'empty' holds no pictures", ["model.onnx", "copy.onnx", "empty"]),
        (2, "no file matches '*.jpg'", ["model.onnx", "copy.onnx", "*.jpg"]),
        (2, "there is no method 'gradcam'", ["model.onnx", "copy.onnx", "red.png", "-m", "gradcam"]),
        (2, "takes no layer", ["model.onnx", "copy.onnx", "red.png", "-m", "gradient", "-l", "x"]),
        (2, "no class is called 'purple'", ["model.onnx", "copy.onnx", "red.png", "-t", "purple"]),
        (1, "no picture can be compared: no such picture: 'no.png'", ["model.onnx", "copy.onnx", "no.png"]),
    ],
)
def test_what_cannot_be_done_is_said(run, two: Path, status: int, said: str, arguments: list[str]) -> None:
    before = sorted(two.iterdir())
    ended = run("diff", *arguments)
    assert ended.status == status, ended.err
    assert said in ended.err
    assert sorted(two.iterdir()) == before


@pytest.mark.parametrize(
    ("read", "arguments"),
    [
        ("red.png", ["model.onnx", "copy.onnx", "red.png", "-o", "red.png"]),
        ("red.png", ["model.onnx", "copy.onnx", ".", "-o", "./red.png"]),
        ("copy.png", ["model.onnx", "copy.png", "red.png", "-o", "copy.png"]),
        ("copy.png", ["copy.png", "model.onnx", "red.png", "-o", "copy.png"]),
        ("names.png", ["model.onnx", "copy.onnx", "red.png", "--labels", "names.png", "-o", "names.png"]),
        ("names.png", ["model.onnx", "copy.onnx", "red.png", "--labels-b", "names.png", "-o", "names.png"]),
        ("names.png", ["model.onnx", "copy.onnx", "red.png", "--preprocess", "names.png", "-o", "names.png"]),
        ("names.png", ["model.onnx", "copy.onnx", "red.png", "--preprocess-b", "names.png", "-o", "names.png"]),
        ("names.html", ["model.onnx", "copy.onnx", "red.png", "--labels", "names.html", "--report", "names.html"]),
    ],
)
def test_nothing_that_is_read_is_written_over(run, two: Path, read: str, arguments: list[str]) -> None:
    shutil.copy("model.onnx", "copy.png")
    for name in ("names.png", "names.html"):
        Path(name).write_text("red\ngreen\nblue\ngreen apple\n")
    before = Path(read).read_bytes()
    ended = run("diff", *arguments)
    assert ended.status == 2
    assert "would be overwritten, and it is read" in ended.err
    assert Path(read).read_bytes() == before
