"""What ``explain`` is said to return: the project's own mypy run reads this file, and pytest holds it to be so."""

from __future__ import annotations

import io
from pathlib import Path
from typing import assert_type

import numpy as np
import pytest
from PIL import Image

import onnxsal
from onnxsal import Explanation, Model

FOLDER = Path(__file__).resolve().parents[2] / "models"
FILE = FOLDER / "demo.png"


@pytest.fixture(scope="module")
def model() -> Model:
    return onnxsal.load(FOLDER / "shapes.onnx")


def test_one_thing_gives_an_explanation(model: Model) -> None:
    pixels = np.asarray(Image.open(FILE))
    raw = np.zeros((1, 3, *model.image_size), np.float32)
    found = assert_type(onnxsal.explain(model, FILE, method="gradient"), Explanation)
    others = (
        assert_type(onnxsal.explain(model, str(FILE), method="gradient"), Explanation),
        assert_type(onnxsal.explain(model, FILE.read_bytes(), method="gradient"), Explanation),
        assert_type(onnxsal.explain(model, io.BytesIO(FILE.read_bytes()), method="gradient"), Explanation),
        assert_type(onnxsal.explain(model, Image.open(FILE), method="gradient"), Explanation),
        assert_type(onnxsal.explain(model, pixels, method="gradient"), Explanation),
        assert_type(onnxsal.explain(model, raw, method="gradient"), Explanation),
    )
    assert all(isinstance(each, Explanation) for each in (found, *others))
    with FILE.open("rb") as file:
        opened = assert_type(onnxsal.explain(model, file, method="gradient"), Explanation)
    np.testing.assert_array_equal(opened.raw, found.raw)


def test_targets_that_are_one(model: Model) -> None:
    pair = assert_type(onnxsal.explain(model, FILE, method="gradient", target=(0, 1)), Explanation)
    named = assert_type(onnxsal.explain(model, FILE, method="gradient", target=pair.label.split()[0]), Explanation)
    assert (pair.target, named.target) == ((0, 1), 0)


def test_a_list_gives_a_list(model: Model) -> None:
    numbers, paths = [0, 1], [FILE, FILE]  # list[int] and list[Path], neither of them a list of all that may be in one
    several = assert_type(onnxsal.explain(model, FILE, method="gradient", target=numbers), list[Explanation])
    mixed = assert_type(onnxsal.explain(model, FILE, method="gradient", target=[0, (1, 0), None]), list[Explanation])
    images = assert_type(onnxsal.explain(model, paths, method="gradient"), list[Explanation])
    alone = assert_type(onnxsal.explain(model, [FILE], method="gradient", target=1), list[Explanation])
    both = assert_type(onnxsal.explain(model, paths, method="gradient", target=numbers), list[Explanation])
    assert [len(each) for each in (several, mixed, images, alone, both)] == [2, 3, 2, 1, 4]
