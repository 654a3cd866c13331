"""PaddleX's ``inference.yml``: the steps of its classifiers and of its detectors of text, and their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.modalities.image import Preprocess, as_preprocess
from onnxsal.modalities.image.sources import gather_preprocess
from onnxsal.tasks.label_neighbours import neighbours

STEPS = """\
  - ResizeImage:
      resize_short: 256
  - CropImage:
      size: 224
"""
NORMAL = """\
  - NormalizeImage:
      channel_num: 3
      mean:
      - 0.485
      - 0.456
      - 0.406
      order: ''
      scale: {scale}
      std:
      - 0.229
      - 0.224
      - 0.225
  - ToCHWImage: null
"""
BEHIND = """\
PostProcess:
  Topk:
    topk: 2
    label_list:
    - '0'
    - '180'
"""


def written(folder: Path, steps: str = STEPS, scale: str = "0.00392156862745098", behind: str = BEHIND) -> Path:
    text = f"Global:\n  model_name: net\nPreProcess:\n  transform_ops:\n{steps}{NORMAL.format(scale=scale)}{behind}"
    (folder / "inference.yml").write_text(text)
    return folder / "inference.onnx"


def found(path: Path) -> Preprocess:
    preprocess = gather_preprocess(path, {}).preprocess
    assert preprocess is not None
    return preprocess


@pytest.mark.parametrize("scale", ["0.00392156862745098", "1./255.", "1/255"])
def test_classifiers(tmp_path: Path, scale: str) -> None:
    path = written(tmp_path, scale=scale)
    same = as_preprocess({"preset": "imagenet"})
    assert (found(path).fit, found(path).fraction, found(path).colour) == ("crop", 0.875, "RGB")
    np.testing.assert_allclose(found(path).table(), same.table(), rtol=1e-6)
    assert as_preprocess(tmp_path / "inference.yml") == found(path)


def test_sides_of_their_own_and_filters(tmp_path: Path) -> None:
    path = written(tmp_path, "  - ResizeImage:\n      size: [160, 80]\n      interpolation: CUBIC\n")
    assert (found(path).fit, found(path).fraction, found(path).resample) == ("squash", 1.0, "bicubic")
    written(tmp_path, "  - ResizeImage:\n      resize_short: 256\n      interpolation: SPLINE\n")
    assert "interpolation is one of" in gather_preprocess(path, {}).notes[0]


def test_detectors_of_text(tmp_path: Path) -> None:
    steps = "  - DecodeImage:\n      channel_first: false\n      img_mode: BGR\n  - DetLabelEncode: null\n" \
            "  - DetResizeForTest:\n      resize_long: 960\n"  # fmt: skip
    path = written(tmp_path, steps + "  - KeepKeys:\n      keep_keys:\n      - image\n")
    assert (found(path).colour, found(path).fit, found(path).open_fit) == ("BGR", "squash", True)


def test_readers_of_text_are_passed_over(tmp_path: Path) -> None:
    """They pad lines at the right, which a Preprocess does not."""
    path = written(tmp_path, "  - RecResizeImg:\n      image_shape: [3, 48, 320]\n")
    gathered = gather_preprocess(path, {})
    assert gathered.preprocess is None
    assert "the step 'RecResizeImg' is not known" in gathered.notes[0]
    with pytest.raises(UsageError, match="RecResizeImg"):
        as_preprocess(tmp_path / "inference.yml")


def test_labels_and_characters(tmp_path: Path) -> None:
    (labels,) = neighbours(written(tmp_path), 2)
    assert (labels.names, labels.source) == (("0", "180"), str(tmp_path / "inference.yml"))
    path = written(
        tmp_path, behind="PostProcess:\n  name: CTCLabelDecode\n  character_dict:\n  - \u3000\n  - a\n  - '!'\n"
    )
    (characters,) = neighbours(path, 5)
    assert characters.names == ("blank", "\u3000", "a", "!", " ")
    path = written(tmp_path, behind="label_list:\n- person\n- car\n")
    assert [each.names for each in neighbours(path, 2)] == [("person", "car")]


def test_another_yaml_of_that_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "inference.yml").write_text("a: |\n  text")
    gathered = gather_preprocess(tmp_path / "inference.onnx", {})
    assert gathered.preprocess is None
    assert "no YAML of the kind that exporters write" in gathered.notes[0]
    assert list(neighbours(tmp_path / "inference.onnx", 2)) == []
