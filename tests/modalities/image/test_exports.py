"""What tools write beside a model: timm, MMDeploy, Lobe, Teachable Machine, Hugging Face's processors of several."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxsal.errors import UsageError
from onnxsal.modalities.image import PRESETS, Preprocess, as_preprocess, read_image
from onnxsal.modalities.image.sources import Gathered, gather_preprocess

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
TIMM: dict[str, Any] = {
    "architecture": "resnet10t", "num_classes": 3, "label_names": ["cat", "dog", "a fish"],
    "pretrained_cfg": {"tag": "c3_in1k", "input_size": [3, 176, 176], "interpolation": "bicubic", "crop_pct": 0.95,
                       "crop_mode": "center", "mean": MEAN, "std": STD, "num_classes": 3},
}  # fmt: skip


def timm(**changes: Any) -> Preprocess:
    return as_preprocess(TIMM | {"pretrained_cfg": TIMM["pretrained_cfg"] | changes})


def test_timm() -> None:
    found = timm()
    assert (found.mean, found.std, found.scale) == (tuple(MEAN), tuple(STD), 1 / 255)
    assert (found.fit, found.fraction, found.resample, found.colour) == ("crop", 0.95, "bicubic", "RGB")


def test_timm_other_crops_and_channels() -> None:
    assert (timm(crop_mode="squash", crop_pct=1.0).fit, timm(crop_mode="squash").fraction) == ("squash", 0.95)
    padded = timm(crop_mode="border", crop_pct=1.0, mean=[0.5] * 3)
    assert (padded.fit, padded.pad_colour) == ("pad", (128, 128, 128))
    with pytest.raises(UsageError, match="crop_mode is one of center, squash, border; got 'tiles'"):
        timm(crop_mode="tiles")
    grey = timm(mean=[0.5], std=[0.5])
    assert (grey.colour, grey.mean) == ("grey", (0.5,))
    with pytest.raises(UsageError, match=r"interpolation is one of nearest, .*; got 'random'"):
        timm(interpolation="random")


# How it is fitted, the share that stays, the model's height and width, the photograph's width and height; what that is
# resized to, and the left and top of the model's picture in it.
CROPS: dict[str, tuple[tuple[str, float], tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    # 40 / 0.9 = 44.4, 44 * 90 / 61 = 64.9; (64 - 40) / 2 = 12
    "sides are cut off": (("center", 0.9), (40, 40), (90, 61), (64, 44), (12, 2)),
    # 40 / 0.88 = 45.5; (45 - 40) / 2 = 2.5 and (79 - 40) / 2 = 19.5, to even
    "half a margin is even": (("center", 0.88), (40, 40), (75, 133), (45, 79), (2, 20)),
    "enlarged": (("center", 0.9), (40, 40), (13, 21), (44, 71), (2, 16)),
    # 55 / 0.9 = 61.1 and 41 / 0.9 = 45.6: the nearer of 90 / 61 and 77 / 45 is the first; 77 * 61 / 90 = 52.2
    "no square": (("center", 0.9), (41, 55), (90, 77), (61, 52), (3, 6)),
    "both sides": (("squash", 0.9), (40, 55), (90, 77), (61, 44), (3, 2)),
    "a border": (("border", 1.0), (40, 40), (90, 61), (40, 27), (0, -6)),
    "a border behind it": (("border", 1.0), (40, 40), (40, 39), (40, 39), (0, 0)),
    "a border that is cropped": (("border", 0.9), (40, 40), (90, 61), (44, 30), (2, -5)),
}


@pytest.mark.parametrize("kind", CROPS)
def test_timm_pixels(kind: str) -> None:
    """Resized by Pillow to what timm and torchvision make of it, which was worked out by hand."""
    (mode, share), size, photo, resized, (left, top) = CROPS[kind]
    config = timm(crop_mode=mode, crop_pct=share)
    array = np.random.default_rng(photo).integers(0, 256, (photo[1], photo[0], 3), np.uint8)
    whole = np.asarray(Image.fromarray(array).resize(resized, Image.Resampling.BICUBIC))
    wanted = np.full((*size, 3), np.round(np.multiply(MEAN, 255)))
    height, width = min(size[0], resized[1]), min(size[1], resized[0])
    seen = whole[max(0, top) :, max(0, left) :][:height, :width]
    wanted[max(0, -top) :, max(0, -left) :][:height, :width] = seen
    found = config.apply(read_image(array), size).values.transpose(1, 2, 0)
    np.testing.assert_allclose(found, (wanted / 255 - MEAN) / STD, atol=1e-5)


def test_timm_says_the_rest_by_its_defaults() -> None:
    """Older files have all of it at the top; what they leave out is ImageNet's, cropped to 0.875, bicubic."""
    flat = as_preprocess({"architecture": "resnet18", "mean": MEAN, "std": STD})
    bare = as_preprocess({"architecture": "resnet18", "pretrained_cfg": {"tag": "a"}})
    for found in (flat, bare):
        assert (found.mean, found.std, found.fraction, found.resample) == (tuple(MEAN), tuple(STD), 0.875, "bicubic")


def mmdeploy(*transforms: dict[str, Any]) -> Preprocess:
    first = [{"type": "LoadImageFromFile"}, *transforms, {"type": "ImageToTensor"}, {"type": "Collect"}]
    tasks = [{"type": "Task", "module": "Transform", "name": "Preprocess", "transforms": first},
             {"type": "Task", "module": "Net", "name": "resnet"}]  # fmt: skip
    return as_preprocess({"pipeline": {"input": ["img"], "output": ["cls"], "tasks": tasks}})


NORMAL = {"type": "Normalize", "to_rgb": True, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


def test_mmdeploy() -> None:
    found = mmdeploy(
        {"type": "Resize", "size": [256, -1], "keep_ratio": True}, {"type": "CenterCrop", "crop_size": 224}, NORMAL
    )
    expected = PRESETS["imagenet"]
    np.testing.assert_allclose(found.table(), expected.table(), rtol=1e-4, atol=1e-5)
    assert (found.fit, found.fraction, found.colour) == ("crop", 0.875, "RGB")
    assert found.agrees(expected)


def test_mmdeploy_other_transforms() -> None:
    squash = mmdeploy({"type": "Resize", "size": [224, 224]}, {**NORMAL, "to_rgb": False})
    assert (squash.fit, squash.fraction, squash.colour) == ("squash", 1.0, "BGR")
    pad = mmdeploy({"type": "Resize", "size": [640, 640], "keep_ratio": True},
                   {"type": "Pad", "size": [640, 640], "pad_val": {"img": [114, 114, 114]}}, NORMAL)  # fmt: skip
    assert (pad.fit, pad.pad_colour) == ("pad", (114, 114, 114))
    with pytest.raises(UsageError, match="the transform 'TenCrop' is not known"):
        mmdeploy({"type": "TenCrop"}, NORMAL)


LOBE = {"doc_id": "1", "inputs": {"Image": {"shape": [None, 224, 224, 3]}}, "outputs": {}, "format": "onnx",
        "filename": "model.onnx", "classes": {"Label": ["cat", "dog", "a fish"]}}  # fmt: skip
TEACHABLE = {"packageName": "@teachablemachine/image", "labels": ["cat", "dog", "a fish"], "imageSize": 224}


def test_lobe_takes_the_centre_square() -> None:
    assert as_preprocess(LOBE) == Preprocess(scale=1 / 255, crop_fraction=1.0, resample="bicubic")


def test_teachable_machine_divides_by_127() -> None:
    black, white = as_preprocess(TEACHABLE).limits()
    np.testing.assert_allclose([black, white], [[-1] * 3, [255 / 127 - 1] * 3], rtol=1e-6)
    assert as_preprocess(TEACHABLE | {"grayscale": True}).colour == "grey"


AZURE = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_1_1"}


def beside(folder: Path, **files: Any) -> Path:
    for name, value in files.items():
        (folder / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return folder / "model.onnx"


@pytest.mark.parametrize(
    ("name", "config", "mean"),
    [
        ("config", TIMM, tuple(MEAN)),
        ("signature", LOBE, (0.0,)),
        ("metadata", TEACHABLE, (1.0,)),
        ("metadata_properties", AZURE, (1.0,)),
        ("processor_config", {"image_processor": {"image_processor_type": "CLIPImageProcessor", "image_mean": MEAN,
                                                  "image_std": STD, "do_normalize": True}}, tuple(MEAN)),
    ],
)  # fmt: skip
def test_they_are_found_beside_a_model(tmp_path: Path, name: str, config: Any, mean: tuple[float, ...]) -> None:
    found = gather_preprocess(beside(tmp_path, **{name: config}), {})
    assert found.preprocess is not None
    assert found.preprocess.mean == mean
    assert found.preprocess.name.startswith(str(tmp_path / f"{name}.json"))
    assert found.notes == ()


@pytest.mark.parametrize(
    "config", [{"model_type": "bert"}, {"labels": ["a"]}, ["a"], {"pipeline": {"tasks": []}}], ids=str
)
def test_files_of_others_are_passed_over(tmp_path: Path, config: Any) -> None:
    path = beside(tmp_path, config=config, metadata=config, pipeline=config, signature=config)
    assert gather_preprocess(path, {}) == Gathered(None)


def test_sources_that_disagree_are_named(tmp_path: Path) -> None:
    path = beside(tmp_path, config=TIMM)
    words = {"Image.BitmapPixelFormat": "Bgr8"}
    found = gather_preprocess(path, words)
    assert found.preprocess is not None
    assert found.preprocess.colour == "BGR"  # the file before what lies beside it
    assert found.notes == (
        "preprocessing disagrees: the model's metadata 'Image.BitmapPixelFormat' is taken, and "
        f"{tmp_path / 'config.json'} wants other pixels; --preprocess (preprocess=...) settles it",
    )
    own = {"onnxsal.preprocess": json.dumps({"preset": "imagenet", "crop_fraction": 0.95, "resample": "bicubic"})}
    assert gather_preprocess(path, own).notes == ()


def test_what_cannot_be_read_is_told_and_passed_over(tmp_path: Path) -> None:
    found = gather_preprocess(beside(tmp_path, config="{", metadata_properties={"Image.BitmapPixelFormat": "Nv12"}), {})
    assert found.preprocess is None
    assert [note.partition(":")[0] for note in found.notes] == ["preprocessing passed over"] * 2
    assert "not valid JSON" in found.notes[0]
    assert "got 'Nv12'" in found.notes[1]
    many = gather_preprocess(beside(tmp_path, config=TIMM, metadata_properties="{}"), {}, channels=6)
    assert many.preprocess is None
    assert "gives 3 channels, the model takes 6" in many.notes[0]


PADDLE = {"PreProcess": {"transform_ops": [
    {"DecodeImage": {"img_mode": "BGR"}}, {"ResizeImage": {"resize_short": 256}}, {"CropImage": {"size": [224, 224]}},
    {"NormalizeImage": {"mean": MEAN, "std": STD, "scale": "1./255."}}, {"ToCHWImage": None},
]}}  # fmt: skip
TASKS = [{"module": "Transform", "transforms": [
    {"type": "Resize", "size": [256, -1]}, {"type": "CenterCrop", "crop_size": [224, 224]},
    {"type": "Normalize", "mean": [1, 2, 3], "std": [1, 2, 3]}, {"type": "Pad", "pad_val": {"img": 114}},
]}]  # fmt: skip
CONVNEXT = {"image_processor_type": "ConvNextImageProcessor", "do_resize": True, "size": {"shortest_edge": 224},
            "crop_pct": 0.875, "do_normalize": True, "image_mean": MEAN, "image_std": STD, "resample": 3}  # fmt: skip


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every object and list inside data, with each of its keys."""
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from places(data[key])


@pytest.mark.parametrize("form", [TIMM, PADDLE, {"pipeline": {"tasks": TASKS}}, CONVNEXT])
def test_other_values_in_any_place_are_steps_or_one_of_our_errors(form: dict[str, Any]) -> None:
    whole, ends = copy.deepcopy(form), {True: 0, False: 0}
    for inside, key in list(places(whole)):
        kept = inside[key]
        for wrong in (None, -0.5, 0, 3, 10**400, "", "1/0", "1..5/2", [], [[]], [16, 16], {}, {"a": 1}, True):
            inside[key] = wrong
            try:
                ends[as_preprocess(whole).scale > 0] += 1
            except UsageError:
                ends[False] += 1
        inside[key] = kept
    assert min(ends.values()) > 20 and as_preprocess(whole) == as_preprocess(form)
