"""value = (pixel * scale - mean) / std in the model's order, from presets and from everything that states it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxsal.errors import UsageError
from onnxsal.modalities.image import PRESETS, Photo, Preprocess, as_preprocess, find_preprocess, read_image, try_presets
from onnxsal.modalities.image.sources import gather_preprocess


def noise(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def photo(array: np.ndarray) -> Photo:
    return read_image(array)


def test_presets_give_their_published_values() -> None:
    white = photo(np.full((2, 2, 3), 255, np.uint8))
    expected = {
        "imagenet": [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225],
        "unit": [1, 1, 1],
        "tf": [1, 1, 1],
        "caffe": [255 - 103.94, 255 - 116.78, 255 - 123.68],
        "clip": [(1 - 0.48145466) / 0.26862954, (1 - 0.4578275) / 0.26130258, (1 - 0.40821073) / 0.27577711],
        "raw": [255, 255, 255],
    }
    assert set(expected) == set(try_presets())
    for name, values in expected.items():
        np.testing.assert_allclose(PRESETS[name].apply(white, (2, 2)).values[:, 0, 0], values, rtol=1e-6)
    black = photo(np.zeros((2, 2, 3), np.uint8))
    np.testing.assert_array_equal(PRESETS["tf"].apply(black, (2, 2)).values, np.full((3, 2, 2), -1, np.float32))


def test_values_follow_the_formula_in_the_models_order() -> None:
    array = noise()
    fitted = Preprocess(colour="BGR", scale=0.5, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)).apply(photo(array), (5, 7))
    blue = (array[..., 2] * 0.5 - 1.0) / 4.0
    red = (array[..., 0] * 0.5 - 3.0) / 6.0
    np.testing.assert_allclose(fitted.values[[0, 2]], [blue, red], rtol=1e-6)
    assert fitted.values.dtype == np.float32
    np.testing.assert_array_equal(fitted.image, array)
    assert fitted.box == (0, 0, 7, 5)


def test_grey_gives_one_channel_and_shows_a_grey_picture() -> None:
    array = noise()
    fitted = Preprocess(colour="grey").apply(photo(array), (5, 7))
    luma = array @ np.array([0.299, 0.587, 0.114])
    assert fitted.values.shape == (1, 5, 7)
    np.testing.assert_allclose(fitted.values[0], luma, atol=1)
    np.testing.assert_array_equal(fitted.image, np.dstack([fitted.values[0]] * 3))


def test_a_colour_preset_serves_a_model_of_one_channel_only() -> None:
    grey = PRESETS["imagenet"].for_channels(1)
    assert grey.colour == "grey"
    np.testing.assert_allclose([grey.mean[0], grey.std[0]], [0.449, 0.226], atol=1e-9)
    assert PRESETS["tf"].for_channels(3) is PRESETS["tf"]
    assert PRESETS["tf"].for_channels(6).colour == "bands"
    with pytest.raises(UsageError, match="the model takes 4"):
        PRESETS["imagenet"].for_channels(4)


def test_limits_bound_all_values() -> None:
    black, white = PRESETS["caffe"].limits()
    np.testing.assert_allclose(black, [-103.94, -116.78, -123.68], rtol=1e-6)
    np.testing.assert_allclose(white - black, [255, 255, 255], rtol=1e-6)


def test_sizes_are_height_and_width() -> None:
    fitted = PRESETS["unit"].apply(photo(noise(50, 60)), (16, 32))
    assert fitted.values.shape == (3, 16, 32)
    assert fitted.image.shape == (16, 32, 3)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_json_reads_back_as_the_same(tmp_path: Path, name: str) -> None:
    preset = PRESETS[name]
    (tmp_path / "own.json").write_text(preset.to_json())
    assert as_preprocess(tmp_path / "own.json") == preset
    assert as_preprocess(json.loads(preset.to_json())) == preset
    assert find_preprocess("nowhere/model.onnx", {"onnxsal.preprocess": preset.to_json()}) == preset


def test_every_own_key_is_understood() -> None:
    stated: dict[str, Any] = {
        "colour": "BGR",
        "scale": 0.25,
        "mean": [1, 2, 3],
        "std": 2,
        "fit": "pad",
        "crop_fraction": 0.5,
        "resample": "bicubic",
        "pad_colour": [1, 2, 3],
    }
    expected = Preprocess("BGR", 0.25, (1.0, 2.0, 3.0), (2.0,), "pad", 0.5, "bicubic", (1, 2, 3))
    assert as_preprocess(stated) == expected
    assert as_preprocess({"fit": "squash", "edge": 9}) == Preprocess(fit="squash", edge=9)


def test_keys_change_a_preset() -> None:
    assert as_preprocess({"preset": "caffe", "colour": "RGB", "fit": "squash"}) == Preprocess(
        colour="RGB", mean=(103.94, 116.78, 123.68), fit="squash"
    )


def test_a_range_is_what_black_and_white_become() -> None:
    black, white = as_preprocess({"range": [-1, 3], "mean": 1, "std": 2}).limits()
    np.testing.assert_allclose([black[0], white[0]], [(-1 - 1) / 2, (3 - 1) / 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"color": "RGB"}, "unknown key 'color'; did you mean 'colour'"),
        ({"colour": "RBG"}, "did you mean 'RGB'"),
        ({"fit": "cropp"}, "did you mean 'crop'"),
        ({"preset": "imagnet"}, "did you mean 'imagenet'"),
        ({"preset": ["tf"]}, "preset is one of"),
        ({"mean": [1, 2]}, "1 or 3 numbers"),
        ({"mean": "0.5"}, "mean is a number"),
        ({"mean": []}, "list of numbers"),
        ({"std": 0}, "other than 0"),
        ({"scale": float("nan")}, "scale is a number"),
        ({"scale": True}, "scale is a number"),
        ({"scale": 1, "range": [0, 1]}, "not both"),
        ({"range": [0]}, "low, high"),
        ({"crop_fraction": 1.5}, "up to 1"),
        ({"pad_colour": [0, 0]}, "three whole numbers"),
        ({"edge": 0}, "a whole number from 1 on"),
        ({"edge": 9, "crop_fraction": 0.5}, "in place of crop_fraction"),
        ({"pad_colour": [0, 0, 256]}, "three whole numbers"),
        ({"colour": "grey", "mean": [1, 2, 3]}, "1 or 1 numbers"),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        as_preprocess(wrong)


def test_wrong_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'imagnet'; did you mean 'imagenet'"):
        as_preprocess("imagnet")
    with pytest.raises(UsageError, match="no such preprocessing file"):
        as_preprocess("missing.json")
    with pytest.raises(UsageError, match="got int"):
        as_preprocess(3)  # type: ignore[arg-type]
    (tmp_path / "broken.json").write_text('{"scale": ')
    with pytest.raises(UsageError, match=r"broken.json is not valid JSON"):
        as_preprocess(tmp_path / "broken.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(UsageError, match="object is expected"):
        as_preprocess(tmp_path / "list.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a text file"):
        as_preprocess(tmp_path / "bytes.json")
    with pytest.raises(UsageError, match="metadata"):
        find_preprocess("model.onnx", {"onnxsal.preprocess": "{"})


HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 224,
}


EDGE_256 = {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}}


@pytest.mark.parametrize(
    ("config", "fit", "side", "resample"),
    [
        (CLIP, "crop", 224, "bicubic"),
        (HALF | {"do_normalize": True, "size": 224, "resample": 2}, "squash", 1.0, "bilinear"),
        (HALF | {"size": {"height": 224, "width": 224}, "resample": 0}, "squash", 1.0, "nearest"),
        (HALF | EDGE_256 | {"size": {"height": 256, "width": 256}}, "squash", 256, None),
        (HALF | EDGE_256, "crop", 256, None),
        (HALF | {"size": {"shortest_edge": 224}, "crop_pct": 0.9}, "crop", 248, None),
        (HALF | {"size": {"shortest_edge": 384}, "crop_pct": 0.9}, "squash", 1.0, None),
        (HALF | {"size": {"longest_edge": 512}}, "pad", 1.0, None),
        (HALF | {"size": {"shortest_edge": 224}, "crop_pct": None}, "crop", 1.0, None),
        (HALF | {"do_resize": False}, "cut", 1.0, None),
        (HALF | {"size": 224, "do_center_crop": True, "image_processor_type": "LevitImageProcessorPil"},
         "crop", 256, None),
        (
            HALF | {"size": 256, "do_center_crop": True, "crop_size": 224, "resample": 3,
                    "feature_extractor_type": "DeiTFeatureExtractor"}, "squash", 256, "bicubic",
        ),
    ],
)  # fmt: skip
def test_hugging_face_fits(config: dict[str, Any], fit: str, side: float, resample: str | None) -> None:
    found = as_preprocess(config)
    assert (found.fit, found.fraction if isinstance(side, float) else found.edge) == (fit, side)
    assert resample in (None, found.resample)


KINDS: dict[str, tuple[dict[str, Any], tuple[int, int] | None, tuple[int, int], bool]] = {
    "CLIP, a crop that is no square": (
        CLIP | {"crop_size": {"height": 40, "width": 56}, "size": 64}, (64, 0), (40, 56), False,
    ),
    "a crop that is larger": (CLIP | {"crop_size": 85, "size": 64}, (64, 0), (85, 85), False),
    "no resizing": (CLIP | {"do_resize": False, "crop_size": {"height": 48, "width": 97}}, None, (48, 97), False),
    "both sides first": (
        HALF | EDGE_256 | {"size": {"height": 64, "width": 64}, "crop_size": 40}, (64, 64), (40, 40), False,
    ),
    "MobileViT by its class": ({"image_processor_type": "MobileViTImageProcessor"}, (224, 0), (256, 256), True),
    "of torchvision alone, padded": (
        HALF | {"image_processor_type": "DINOv3ViTImageProcessor", "do_resize": False,
                "do_center_crop": True, "crop_size": {"height": 64, "width": 98}}, None, (64, 98), False,
    ),
    "DeiT by its class": (HALF | {"image_processor_type": "DeiTImageProcessorFast"}, (256, 256), (224, 224), False),
}  # fmt: skip


@pytest.mark.parametrize("shape", [(61, 90), (130, 75)])
@pytest.mark.parametrize("kind", KINDS)
def test_hugging_face_pixels(kind: str, shape: tuple[int, int]) -> None:
    """Resized to its shorter edge, cut to whole pixels, or to both sides; then the centre, 0 round a smaller one."""
    config, resized, crop, flips = KINDS[kind]
    array = np.random.default_rng(shape).integers(0, 256, (*shape, 3), np.uint8)
    image = Image.fromarray(array)
    if resized is not None:
        (side, other), (width, height) = resized, image.size
        sides = (side, side) if other else [side * each // min(width, height) for each in (width, height)]
        image = image.resize(sides, Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    height, width = crop
    odd = 0 if "alone" in kind else 1  # half a pixel of a margin: in front, or behind
    margin = [max(0, (side - each + odd) // 2) for each, side in zip(pixels.shape, crop, strict=False)]
    padded = np.zeros((*np.maximum(crop, pixels.shape[:2]), 3))
    padded[margin[0] :, margin[1] :][: pixels.shape[0], : pixels.shape[1]] = pixels
    top, left = (padded.shape[0] - height) // 2, (padded.shape[1] - width) // 2
    wanted = padded[top : top + height, left : left + width] / 255
    config = config | {"resample": 3}
    if config.get("image_mean"):
        wanted = (wanted - config["image_mean"]) / config["image_std"]
    found = as_preprocess(config).apply(
        photo(np.random.default_rng(shape).integers(0, 256, (*shape, 3), np.uint8)), crop
    )
    np.testing.assert_allclose(found.values.transpose(1, 2, 0), wanted[..., ::-1] if flips else wanted, atol=1e-5)


def test_what_no_processor_of_ours_does_is_a_note_and_nothing_is_guessed(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    for config, said in (
        ({"image_processor_type": "SamImageProcessor"}, "'SamImageProcessor' of transformers .* of its own"),
        (
            CLIP | {"feature_extractor_type": None, "image_processor_type": "LlavaImageProcessor", "do_pad": True},
            "do_pad true",
        ),
    ):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
        found = gather_preprocess(model, {})
        assert found.preprocess is None
        assert re.search(said, *found.notes)
        with pytest.raises(UsageError, match=said):
            as_preprocess(config)
    (tmp_path / "net.preprocess.json").write_text('{"preset": "tf"}')
    assert gather_preprocess(model, {}).preprocess == PRESETS["tf"]


def test_padding_behind_the_normalisation_is_refused() -> None:
    with pytest.raises(UsageError, match="pads behind the normalisation"):
        as_preprocess(CLIP | {"do_pad": True, "pad_size": {"height": 256, "width": 256}})


def test_hugging_face_normalisation() -> None:
    assert as_preprocess(CLIP).mean == PRESETS["clip"].mean
    assert as_preprocess(CLIP).scale == 1 / 255
    np.testing.assert_allclose(as_preprocess(HALF | {"do_normalize": True}).limits(), [[-1] * 3, [1] * 3], rtol=1e-6)
    assert as_preprocess({"do_rescale": True, "rescale_factor": 0.5}).limits()[1][0] == 127.5
    assert as_preprocess({"do_rescale": False, "do_normalize": False}) == PRESETS["raw"]
    assert as_preprocess(HALF | {"do_normalize": False}) == PRESETS["unit"]
    assert as_preprocess({"do_rescale": True, "do_flip_channel_order": True}).colour == "BGR"
    offset = as_preprocess({"do_rescale": True, "rescale_factor": 1 / 127.5, "rescale_offset": True})
    np.testing.assert_allclose(offset.limits()[0], -1)
    twice = as_preprocess(HALF | {"do_normalize": True, "include_top": True})
    np.testing.assert_allclose(twice.limits()[1], 2)
    once = as_preprocess(HALF | {"do_normalize": False, "include_top": True})
    np.testing.assert_allclose(once.limits(), [[0] * 3, [2] * 3])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"do_normalize": True}, "image_mean and image_std is missing"),
        (HALF | {"size": "large"}, "size is a number"),
        (HALF | {"size": {"depth": 3}}, "size is a number"),
        (HALF | {"resample": 9}, "resample"),
        (HALF | {"size": {"height": 9, "width": 8}, "do_center_crop": True}, "no square"),
        (HALF | {"rescale_factor": "1/255"}, "rescale_factor is a number"),
    ],
)
def test_wrong_hugging_face_files_are_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        as_preprocess(config)


HUGE = 10**400
"""As JSON may hold it, and no float does."""


@pytest.mark.parametrize("key", ["mean", "std", "scale", "pad_colour"])
@pytest.mark.parametrize("value", [HUGE, -HUGE, 10**5000], ids=["huge", "negative", "longer than Python writes"])
def test_numbers_that_no_float_holds_are_one_message(key: str, value: int) -> None:
    with pytest.raises(UsageError, match=rf"{key} is a number; got (-?1000.*\.\.\. \(40. characters\)|an integer)"):
        as_preprocess({key: value})


@pytest.mark.parametrize("key", ["size", "image_mean", "image_std", "rescale_factor"])
def test_a_hugging_face_file_with_numbers_that_no_float_holds_is_one_message(key: str, tmp_path: Path) -> None:
    config = HALF | {"size": 224, key: HUGE, "do_resize": True, "do_normalize": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=rf"{key} is a number; got 1000"):
        as_preprocess(tmp_path / "preprocessor_config.json")


def test_preprocessing_is_found_beside_the_model_metadata_first(tmp_path: Path) -> None:
    model = tmp_path / "onnx" / "net.onnx"
    model.parent.mkdir()
    assert find_preprocess(model, {"author": "someone"}) is None
    (model.parent / "net.preprocess.json").write_text('{"preset": "tf"}')
    (model.parent / "other.preprocess.json").write_text('{"preset": "unit"}')
    assert find_preprocess(model, {}) == PRESETS["tf"]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CLIP))
    found = find_preprocess(model, {})
    assert found is not None
    assert found.mean == PRESETS["clip"].mean
    assert find_preprocess(model, {"onnxsal.preprocess": '{"preset": "caffe"}'}) == PRESETS["caffe"]


def test_the_crop_is_pillows_resize_and_crop(shared: Path) -> None:
    """The recipe under which the reference table's accuracies come out to the third digit."""
    path = shared / "images" / "imagenet" / "0015_robin.jpg"
    image = Image.open(path).convert("RGB")
    short = min(image.size)
    resized = image.resize([round(side * 256 / short) for side in image.size], Image.Resampling.BILINEAR)
    left, top = (resized.width - 224) // 2, (resized.height - 224) // 2
    fitted = PRESETS["raw"].apply(read_image(path), (224, 224))
    np.testing.assert_array_equal(fitted.image, np.asarray(resized)[top : top + 224, left : left + 224])


@pytest.mark.parametrize("colour", ["RGB", "BGR", "grey"])
@pytest.mark.parametrize(
    ("scale", "mean", "dtype", "given"),
    [(1, 0, "uint8", "uint8"), (257, 0, "uint16", "uint16"), (-1, -255, "uint8", "uint8"), (1, 128, "int8", "int8"),
     (1, 0, "int8", "float32"), (1 / 255, 0, "uint8", "float32"), (1, 0.5, "uint8", "float32")],
)  # fmt: skip
def test_values_are_of_a_type_that_has_all_of_them(
    colour: str, scale: float, mean: float, dtype: str, given: str
) -> None:
    how, picture = Preprocess(colour=colour, scale=scale, mean=(mean,)), photo(noise(30, 40))
    plain, found = how.apply(picture, (16, 24)), how.apply(picture, (16, 24), np.dtype(dtype))
    assert found.values.dtype == given
    np.testing.assert_array_equal(found.values, plain.values)
    np.testing.assert_array_equal(found.image, plain.image)
