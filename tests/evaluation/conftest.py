"""A small classifier of colours, pictures of a square each, and their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
from PIL import Image

import onnxsal
from onnxsal.model import Model

COLOURS = {"red": (220, 40, 30), "green": (30, 200, 40), "blue": (20, 50, 210)}


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    tiny_models.write(tiny_models.classifier(), path)
    return path


@pytest.fixture(scope="session")
def model(model_file: Path) -> Model:
    return onnxsal.load(model_file)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six pictures, 40 x 60, ``<class index>_<colour><number>.png``, and ``masks`` beside it."""
    folder, masks = tmp_path / "photos", tmp_path / "masks"
    folder.mkdir()
    masks.mkdir()
    for at in range(6):
        name, colour = list(COLOURS.items())[at % 3]
        image, mask = np.full((40, 60, 3), 90, np.uint8), np.zeros((40, 60), np.uint8)
        rows, columns = slice(6 + at, 26 + at), slice(10 + 2 * at, 36 + 2 * at)
        image[rows, columns] = colour
        mask[rows, columns] = 255
        Image.fromarray(image).save(folder / f"{at % 3}_{name}{at}.png")
        Image.fromarray(mask).save(masks / f"{at % 3}_{name}{at}.png")
    return folder
