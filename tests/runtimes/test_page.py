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
from compiled_runtimes import RUNNERS, Absent, browser, lay_out_page, node, place
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
    ],
)
def test_a_wrong_file_is_said(said: dict[str, Any], wrong: str, message: str) -> None:
    assert message in said["problems"][wrong]


def test_it_fits_a_phone_and_asks_nobody_else(said: dict[str, Any]) -> None:
    assert (said["overflow"], said["elsewhere"], said["failures"]) == (0, [], [])


def _same(found: dict[str, Any], wanted: np.ndarray) -> None:
    shown = np.array(found["data"], np.float32).reshape(found["height"], found["width"])
    assert wanted.std() > 0.01
    np.testing.assert_allclose(shown, wanted, rtol=0, atol=CLOSE)
