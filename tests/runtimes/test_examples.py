"""The short programs of ``examples/``: built where they have to be, run, and their drawings compared with onnxsal's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compiled_cases import BUNDLED, MODELS
from compiled_runtimes import Absent, node, place
from PIL import Image

import onnxsal
from onnxsal.viz.overlay import overlay

EXAMPLES = Path(__file__).parents[2] / "examples"
STAR = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("examples")
    onnxsal.save(onnxsal.compile(BUNDLED, bytes_in=True, give="drawing"), made / "explained.onnx")
    with Image.open(MODELS / "demo.png") as image:
        small = image.convert("RGB").resize((96, 96), Image.Resampling.BILINEAR)
    small.save(made / "photo.ppm")
    return made


def run(folder: Path, *command: str, **variables: str) -> str:
    environment = {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **variables}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def compare(folder: Path, name: str) -> None:
    with Image.open(folder / "photo.ppm") as image:
        pixels = np.asarray(image)
    with Image.open(folder / name) as image:
        drawn = np.asarray(image).astype(int)
    away = np.abs(drawn - overlay(pixels, onnxsal.explain(BUNDLED, pixels).saliency))
    assert away.max() <= 3  # a level of the colour table, where rounding tips it
    assert away.mean() < 0.01


def test_python(folder: Path) -> None:
    try:
        python = str(place("python", "bin", "python"))
    except Absent:
        python = sys.executable
    script = str(EXAMPLES / "python" / "explain.py")
    assert run(folder, python, script, "explained.onnx", "photo.ppm", "python.png") == "star"
    compare(folder, "python.png")


def test_python_without_a_drawing_says_what_to_name(folder: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "python" / "explain.py"), "explained.onnx", "photo.ppm"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert (ended.returncode, ended.stderr) == (1, "usage: python explain.py MODEL PHOTO DRAWING\n")


def test_node(folder: Path) -> None:
    try:
        program, modules = node(), place("node", "node_modules")
    except Absent as reason:
        pytest.skip(str(reason))
    (folder / "node_modules").symlink_to(modules)
    script = str(EXAMPLES / "node" / "explain.mjs")
    assert run(folder, program, script, "explained.onnx", "photo.ppm", "node.ppm") == str(STAR)
    compare(folder, "node.ppm")


def test_cpp(folder: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no c++ on the PATH")
    try:
        python = str(place("openvino", "bin", "python"))
    except Absent as reason:
        pytest.skip(str(reason))
    home = Path(run(folder, python, "-c", "import openvino; print(openvino.__path__[0])"))
    libraries = home / "libs"
    library = next(iter(libraries.glob("libopenvino.so.*"))).name
    places = [f"-I{home / 'include'}", f"-L{libraries}", f"-l:{library}", f"-Wl,-rpath,{libraries}"]
    run(folder, compiler, "-std=c++17", str(EXAMPLES / "cpp" / "explain.cpp"), *places, "-o", "explain")
    assert run(folder, "./explain", "explained.onnx", "photo.ppm", "cpp.ppm") == str(STAR)
    compare(folder, "cpp.ppm")
