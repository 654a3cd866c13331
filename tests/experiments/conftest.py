"""A small model of colours and scenes of coloured blocks, whose right answers are known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models
from colour_blocks import Blocks, blocks, write_scenes

from onnxsal.experiments.base import Case
from onnxsal.model.load import load

MakeCase = Callable[..., Case]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The path of the model: red, green, blue and green apple."""
    return tiny_models.write(tiny_models.classifier(), tmp_path / "model.onnx")


@pytest.fixture
def case(model: Path) -> MakeCase:
    """Make a Case of that model."""

    def make(*images: Path, **details: object) -> Case:
        return Case(str(details.pop("path", model)), tuple(map(str, images)), load, **details)  # type: ignore[arg-type]

    return make


@pytest.fixture
def scenes(tmp_path: Path) -> Callable[[list[Blocks]], Path]:
    """Write scenes of blocks."""
    return lambda given: write_scenes(tmp_path / "scenes", given)


@pytest.fixture
def photo(tmp_path: Path) -> Callable[..., Path]:
    """Write a picture of blocks and return its path."""

    def make(name: str, *objects: tuple[str, tuple[int, int, int, int]]) -> Path:
        path = tmp_path / f"{name}.png"
        Image.fromarray(blocks(list(objects))[0]).save(path)
        return path

    return make
