"""``onnxsal study``: the page is written, answers are counted, and misuse is said."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from onnxsal.experiments.study import reveal


def answered(page: str, person: int, place: int) -> str:
    """Write what a person saves who always takes the map at one place of the file."""
    study = json.loads(re.search(r'id="study">(.*?)</script>', Path(page).read_text(encoding="utf-8"), re.DOTALL)[1])
    choices = [
        {"trial": at, "chosen": trial["maps"][place]["id"], "shown": [m["id"] for m in trial["maps"]], "seconds": 3}
        for at, trial in enumerate(study["trials"])
    ]
    found = {"format": "onnxsal answers 1", "study": study["id"], "person": person, "key": study["key"]}
    path = f"answers-{person}.json"
    Path(path).write_text(json.dumps({**found, "choices": choices}))
    return path


def test_a_page_its_answers_and_their_count(run, folder: Path) -> None:
    ended = run("study", "model.onnx", "red.png", "blue.png", "-m", "grad-cam,eigencam", "-o", "ask.html")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("ask.html\n  2 pictures x 2 maps, ")
    files = [answered("ask.html", 1, 0), answered("ask.html", 2, 0)]
    ended = run("study", "--tally", *files, "-o", "trust.png")
    assert ended.status == 0
    assert ended.out.startswith("2 persons, 4 answers, half of them within 3.0 s\n")
    assert "cannot tell: 0 %" in ended.out
    with Image.open("trust.png") as image:
        assert image.width > 500
    found = json.loads(run("study", "--tally", *files, "--json").out)
    assert sum(share["count"] for share in found["shares"].values()) == 4
    assert set(found["shares"]) == {"grad-cam", "eigencam"}
    assert found["first_place"]["value"] == 1.0


def test_folders_and_patterns(run, folder: Path) -> None:
    """The three pictures of a folder and of the one below, each once, in the order of their paths."""
    (folder / "photos" / "below").mkdir(parents=True)
    for name in ("r.png", "q.png", "below/b.png"):
        shutil.copy("red.png", f"photos/{name}")
    for meant in (["photos"], ["photos/**/*.png"], ["photos", "photos/r.png"]):
        ended = run("study", "model.onnx", *meant, "-m", "grad-cam,eigencam", "-o", "ask.html")
        assert ended.out.startswith("ask.html\n  3 pictures x 2 maps, ")
        study = re.search(r'id="study">(.*?)</script>', Path("ask.html").read_text(encoding="utf-8"), re.DOTALL)[1]
        assert reveal(json.loads(study)["key"])["images"] == ["b.png", "q.png", "r.png"]


@pytest.mark.parametrize(
    ("status", "said", "arguments"),
    [
        (2, "a study is of a model and pictures", ["model.onnx"]),
        (2, "missing argument", []),
        (2, "a study compares two to 9 methods; got 1", ["model.onnx", "red.png", "-m", "grad-cam"]),
        (2, "no file matches '*.jpg'", ["model.onnx", "*.jpg"]),
        (2, "should end in .html", ["model.onnx", "red.png", "-o", "study.pdf"]),
        (2, "there is no method 'grad-kam'", ["model.onnx", "red.png", "-m", "grad-kam,grad-cam"]),
        (1, "no such picture: 'no.png'", ["model.onnx", "no.png"]),
        (1, "there is no file of answers 'no.json'", ["--tally", "no.json"]),
        (1, "cannot read 'red.png' as a file of answers", ["--tally", "red.png"]),
        (2, "pictures are written as", ["--tally", "no.json", "-o", "out.html"]),
    ],
)
def test_what_cannot_be_done_is_said(run, folder: Path, status: int, said: str, arguments: list[str]) -> None:
    before = sorted(folder.iterdir())
    ended = run("study", *arguments)
    assert ended.status == status, ended.err
    assert said in ended.err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("read", "arguments"),
    [
        ("red.html", ["model.onnx", "red.html", "-o", "red.html"]),
        ("red.html", ["model.onnx", "*.html", "-o", "red.html"]),
        ("model.html", ["model.html", "red.png", "-o", "model.html"]),
        ("model.html", ["model.onnx", "red.png", "--labels", "model.html", "-o", "model.html"]),
        ("answers.png", ["--tally", "answers.png", "-o", "answers.png"]),
    ],
)
def test_nothing_that_is_read_is_written_over(run, folder: Path, read: str, arguments: list[str]) -> None:
    run("study", "model.onnx", "red.png", "-m", "grad-cam,eigencam", "-o", "ask.html")
    for source, target in (
        ("red.png", "red.html"),
        ("model.onnx", "model.html"),
        (answered("ask.html", 1, 0), "answers.png"),
    ):
        shutil.copy(source, target)
    before = Path(read).read_bytes()
    ended = run("study", *arguments)
    assert ended.status == 2
    assert "would be overwritten, and it is read" in ended.err
    assert Path(read).read_bytes() == before
