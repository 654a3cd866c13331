"""Scenes read from folders and made of photographs: where the objects are, and what is wrong with a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from colour_blocks import write_scenes
from PIL import Image

from onnxsal.errors import ImageError, UsageError
from onnxsal.experiments.scenes import covering, mosaic, read_scenes

TWO = [("red", (8, 24, 8, 24)), ("blue", (40, 56, 32, 48))]


def test_masks_are_where_the_model_sees_the_objects(tmp_path: Path, case) -> None:
    """The model takes 16 x 16 of the 64 x 64, squashed: a quarter of every number."""
    (scene,) = read_scenes(str(write_scenes(tmp_path / "s", [TWO])))
    explained = case(tmp_path).explainer("gradient")(scene.image, "red")
    first, second = scene.masks(explained)
    expected = np.zeros((16, 16), bool)
    expected[2:6, 2:6] = True
    assert (first == expected).all()
    assert np.argwhere(second).min(axis=0).tolist() == [10, 8]
    assert np.argwhere(second).max(axis=0).tolist() == [13, 11]


def test_a_mosaic_has_each_picture_in_its_place() -> None:
    red, blue = np.full((10, 30, 3), (255, 0, 0), np.uint8), np.full((50, 20, 3), (0, 0, 255), np.uint8)
    image, numbers = mosaic([red, blue], 2, (8, 12))
    assert image.shape == (8, 12, 3)
    assert (image[:, :6] == (255, 0, 0)).all()
    assert (image[:, 6:] == (0, 0, 255)).all()
    assert (numbers[:, :6] == 1).all() and (numbers[:, 6:] == 2).all()
    with pytest.raises(UsageError, match="cannot be made of 3"):
        mosaic([red, red, red], 2, (8, 8))


@pytest.mark.parametrize("count", [2, 4])
def test_a_mosaic_has_the_size_that_was_asked_for(count: int) -> None:
    """Of 299 a pixel less would be scaled and cropped again by the model's preprocessing."""
    image, numbers = mosaic([np.full((9, 9, 3), 200, np.uint8)] * count, 2, (299, 299))
    assert image.shape == (299, 299, 3) and numbers.shape == (299, 299)
    assert (image == 200).all() and np.unique(numbers).tolist() == list(range(1, count + 1))
    _, areas = np.unique(numbers, return_counts=True)
    assert areas.max() - areas.min() <= 299


def test_covering_takes_the_middle_and_keeps_means() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 2:6] = 200
    assert (covering(image, (4, 4)) == 200).all()
    assert (covering(image, (2, 4)) == covering(image, (4, 8))[::2, ::2]).all()
    ramp = np.repeat(np.arange(0, 240, 30, dtype=np.uint8)[None, :, None], 8, axis=0).repeat(3, axis=2)
    assert covering(ramp, (4, 4))[0, :, 0].tolist() == [15, 75, 135, 195]


def spoilt(folder: Path, change) -> str:
    path = write_scenes(folder, [TWO]) / "scenes.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return str(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: {**d, "format": "other"}, "expected {\"format\": \"onnxsal scenes 1\""),
        (lambda d: {**d, "scenes": []}, "names no scene"),
        (lambda d: {**d, "scenes": [{"picture": "0.png"}]}, "scene 0: expected picture, masks and labels"),
        (lambda d: {**d, "scenes": [{**d["scenes"][0], "labels": []}]}, "one for each object"),
        (lambda d: {**d, "scenes": [{**d["scenes"][0], "labels": ["red"]}]}, r"1 labels, but the masks hold .*1, 2"),
        (lambda d: {**d, "scenes": [{**d["scenes"][0], "picture": "none.png"}]}, "no such picture"),
        (lambda d: {**d, "scenes": [{**d["scenes"][0], "masks": "0.png"}]}, "the masks are in colour"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path, change, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        read_scenes(spoilt(tmp_path / "s", change))


def test_a_folder_without_index_and_masks_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"has no scenes.json"):
        read_scenes(str(tmp_path))
    (tmp_path / "scenes.json").write_text("{")
    with pytest.raises(ImageError, match="cannot read"):
        read_scenes(str(tmp_path))
    folder = write_scenes(tmp_path / "s", [TWO])
    Image.new("L", (32, 32)).save(folder / "0.masks.png")
    with pytest.raises(ImageError, match="the picture is 64 x 64 and its masks 32 x 32"):
        read_scenes(str(folder))
