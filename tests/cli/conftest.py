"""A folder to work in with a model and pictures, and the command run in it as a user does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from PIL import Image

from onnxsal.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status and what it wrote."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``model.onnx``, ``red.png`` and ``blue.png``."""
    monkeypatch.chdir(tmp_path)
    tiny_models.write(tiny_models.classifier(), tmp_path / "model.onnx")
    for name, colour in (("red", (220, 40, 30)), ("blue", (20, 50, 210))):
        image = np.full((40, 60, 3), 90, np.uint8)
        image[8:30, 15:45] = colour
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in the folder; what C libraries write is caught as well."""

    def call(*arguments: str | Path) -> Ended:
        capfd.readouterr()
        status = main([str(each) for each in arguments])
        return Ended(status, *capfd.readouterr())

    return call
