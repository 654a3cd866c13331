"""The page of ``examples/web`` in a real browser: what it shows, what it refuses, and that its maps are Python's."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from compiled_cases import BUNDLED, MODELS
from compiled_runtimes import EXAMPLE, RUNNERS, Absent, browser, lay_out_page, node, place
from PIL import Image

import onnxsal

SAMPLES = 6
CLOSE = 1e-4
"""Of a map's range, which is 1."""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    try:
        modules, found = place("node", "node_modules"), [node(), browser()]
    except Absent as reason:
        pytest.skip(str(reason))
    web, files = tmp_path_factory.mktemp("web"), tmp_path_factory.mktemp("files")
    given = onnxsal.compile(BUNDLED, method="smoothgrad", target="input", samples=SAMPLES, explain_required=True)
    lay_out_page(web, modules, given)
    _files(files)
    return [found[0], str(RUNNERS / "run_page.mjs"), str(modules), found[1], str(web), str(files)]


def _files(files: Path) -> None:
    shutil.copy(BUNDLED, files / "plain.onnx")
    onnxsal.save(onnxsal.compile(BUNDLED, method="grad-cam++", bytes_in=True), files / "bytes.onnx")
    broken = onnx.load(files / "bytes.onnx")
    broken.graph.node[0].op_type = "Konv"
    onnx.save(broken, files / "broken.onnx")
    with Image.open(MODELS / "demo.png") as image:
        image.convert("RGB").crop((0, 50, 384, 301)).save(files / "wide.png")
    _detectors(files)


def detector() -> onnxsal.Model:
    """Return the bundled detector, to which photographs are shown whole, with grey beside them."""
    fitted = {"preset": "unit", "fit": "pad", "pad_colour": (114, 114, 114)}
    return onnxsal.load(MODELS / "detector.onnx", preprocess=fitted)


def _detectors(files: Path) -> None:
    given: dict[str, Any] = {"method": "gradient", "give": "saliency,detections"}
    made = onnxsal.compile(detector(), target="input@input", explain_required=True, **given)
    onnxsal.save(made, files / "detector.onnx")
    onnxsal.save(onnxsal.compile(detector(), **given), files / "inside.onnx")
    onnxsal.save(onnxsal.compile(detector(), method="gradient"), files / "unlisted.onnx")
    with Image.open(MODELS / "demo_boxes.png") as image:
        image.convert("RGB").crop((60, 0, 384, 384)).save(files / "letterboxed.png")
    Image.new("RGB", (120, 90), (128, 128, 128)).save(files / "empty.png")


@pytest.fixture(scope="module")
def said(command: list[str]) -> dict[str, Any]:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads((Path(command[-1]) / "said.json").read_text())
    return found


@pytest.mark.parametrize("step", ["start", "key"])
def test_the_map_of_a_class_is_that_of_python(said: dict[str, Any], step: str) -> None:
    found = said["maps"][step]
    given = {"method": "smoothgrad", "samples": SAMPLES, "target": found["target"]}
    wanted = onnxsal.explain(BUNDLED, MODELS / "demo.png", **given)
    _same(found, wanted.saliency)
    assert found["scores"][found["target"]] == pytest.approx(wanted.score, abs=1e-4)


def test_a_page_that_is_opened_as_a_file_says_that_it_needs_a_server(said: dict[str, Any]) -> None:
    assert (EXAMPLE / "README.md").read_text(encoding="utf-8").count(said["opened"].splitlines()[-1]) == 1
    assert said["opened"].splitlines()[-1].startswith("python3 -m http.server")


def test_the_first_class_is_the_predicted_one_and_the_arrow_key_takes_the_next(said: dict[str, Any]) -> None:
    scores = np.array(said["maps"]["start"]["scores"])
    assert [said["maps"][step]["target"] for step in ("start", "key")] == np.argsort(-scores)[:2].tolist()
    assert said["classes"].startswith("star")


def test_a_dropped_model_explains_a_dropped_photograph(said: dict[str, Any], command: list[str]) -> None:
    wanted = onnxsal.explain(BUNDLED, Path(command[-1]) / "wide.png", method="grad-cam++")
    _same(said["maps"]["dropped"], wanted.saliency)
    assert "-t input" in said["note"]
    assert "grad-cam++" in said["status"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("text", "notes.png is neither a picture"),
        ("plain", "onnxsal compile plain.onnx -t input -o explained.onnx"),
        ("damaged", "damaged.onnx is not an ONNX model"),
        ("broken", "broken.onnx could not be loaded"),
        ("unlisted", "-t input@input --give saliency,detections --explain-required -o unlisted.onnx"),
    ],
)
def test_a_wrong_file_is_said(said: dict[str, Any], wrong: str, message: str) -> None:
    assert message in said["problems"][wrong]


def test_boxes_lie_in_the_photograph_where_predict_has_them(said: dict[str, Any], command: list[str]) -> None:
    path = Path(command[-1]) / "letterboxed.png"
    found, drawn = detector().predict(path), {box["text"]: box for box in said["boxes"]}
    assert len(found) == len(drawn) == 3
    with Image.open(path) as image:
        size = np.array([*image.size, *image.size])
    for k, each in enumerate(found, 1):
        box = drawn[f"#{k} {each.label} {each.probability * 100:.1f} %"]
        np.testing.assert_allclose(box["sides"], np.array(each.box) / size, atol=5e-3)
        assert box["chosen"] == (k == 1)


@pytest.mark.parametrize(
    ("step", "number"), [("best", 1), ("clicked", 2), ("entered", 3), ("listed", 2), ("inside", 1)]
)
def test_the_box_that_is_clicked_is_explained_as_in_python(
    said: dict[str, Any], command: list[str], step: str, number: int
) -> None:
    path = Path(command[-1]) / "letterboxed.png"
    wanted = onnxsal.explain(detector(), path, method="gradient", target=f"#{number}")
    _same(said["maps"][step], wanted.saliency)


def test_choosing_is_seen_and_focus_stays(said: dict[str, Any]) -> None:
    assert [box["text"][:2] for box in said["clicked"] if box["chosen"]] == ["#2"]
    assert said["focused"].startswith("#3")
    assert said["empty"] == ["Nothing is detected above 0.25.", 0]
    assert "-t input@input" in said["inside"][0] and [text[:2] for text in said["inside"][1]] == ["#1"]


def test_it_fits_a_phone_and_asks_nobody_else(said: dict[str, Any]) -> None:
    assert (said["overflow"], said["elsewhere"], said["failures"]) == (0, [], [])


def _same(found: dict[str, Any], wanted: np.ndarray) -> None:
    shown = np.array(found["data"], np.float32).reshape(found["height"], found["width"])
    assert wanted.std() > 0.01
    np.testing.assert_allclose(shown, wanted, rtol=0, atol=CLOSE)
