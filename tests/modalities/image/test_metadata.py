"""Preprocessing in the words of ONNX, Ultralytics and OpenVINO's Model API: the values of pixels, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.modalities.image import Preprocess
from onnxsal.modalities.image.metadata import from_onnx_image, metadata_preprocess


def only(metadata: dict[str, str]) -> Preprocess:
    (found,) = metadata_preprocess(metadata, "here")
    return found


def image(pixels: str = "Rgb8", levels: str | None = "NominalRange_0_255", **more: str) -> dict[str, str]:
    given = {"Image.BitmapPixelFormat": pixels, "Image.NominalPixelRange": levels, "Image.ColorSpaceGamma": "SRGB"}
    return {key: value for key, value in given.items() if value is not None} | more


@pytest.mark.parametrize(
    ("levels", "black", "white"),
    [("NominalRange_0_255", 0, 255), ("Normalized_0_1", 0, 1), ("Normalized_1_1", -1, 1),
     ("NominalRange_16_235", 16, 235), (None, 0, 255)],
)  # fmt: skip
def test_onnx_names_the_range(levels: str | None, black: float, white: float) -> None:
    low, high = only(image(levels=levels)).limits()
    np.testing.assert_allclose([low, high], [[black] * 3, [white] * 3], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("pixels", "colour"), [("Gray8", "grey"), ("Rgb8", "RGB"), ("Bgr8", "BGR")])
def test_onnx_names_the_order_of_colours(pixels: str, colour: str) -> None:
    found = only(image(pixels))
    assert (found.colour, found.open_fit, found.fraction) == (colour, True, 1.0)
    assert found.name == "here 'Image.BitmapPixelFormat'"


def test_custom_vision_says_how_a_photograph_is_fitted() -> None:
    found = from_onnx_image(image(**{"CustomVision.Preprocess.ResizeMethod": "Stretch"}), "here")
    assert (found.fit, found.open_fit) == ("squash", False)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (image("Nv12"), "BitmapPixelFormat is one of Gray8, Rgb8, Bgr8; got 'Nv12'"),
        (image(levels="NominalRange_0_1023"), "NominalPixelRange is one of .*; got 'NominalRange_0_1023'"),
        (image() | {"Image.ColorSpaceGamma": "Linear"}, "not made linear: hand over a float array"),
        ({"model_info resize_type": "stretch"}, "resize_type is one of standard, .*; got 'stretch'"),
        ({"model_info mean_values": "0.5;x"}, "expected numbers between spaces; got '0.5;x'"),
        ({"model_info mean_values": "0", "model_info intensity_mode": "window"}, "intensity_mode"),
    ],
)
def test_unknown_words_are_named(metadata: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        only(metadata)


YOLO = {"author": "Ultralytics", "stride": "32", "names": "{0: 'cat'}", "imgsz": "[224, 224]"}


def test_ultralytics_classifiers_take_the_centre_square() -> None:
    """As torchvision fits it: the longer side cut off, half of an odd margin to even. Of a wide model both sides."""
    found = only(YOLO | {"task": "classify"})
    assert found == Preprocess(scale=1 / 255, fit="crop", crop_fraction=1.0, rounding="torchvision")
    assert found.name == "here 'task' (Ultralytics)"
    assert only(YOLO | {"task": "classify", "imgsz": "[160, 256]"}).fit == "squash"


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_ultralytics_finders_take_all_of_it_on_grey(task: str) -> None:
    found = only(YOLO | {"task": task})
    assert found == Preprocess(
        scale=1 / 255, fit="pad", pad_colour=(114, 114, 114), resample="opencv-linear", rounding="inwards"
    )
    assert found.place((80, 30), (8, 8)).offset == (0, -2)  # two rows above and three below, as round(2.5 - 0.1)
    assert only(YOLO | {"task": task, "channels": "1"}).colour == "grey"


@pytest.mark.parametrize("said", [{"task": "detect", "head": "RTDETRDecoder"}, {"task": "depth", "head": "Depth"}])
def test_ultralytics_rt_detr_and_depth_take_all_of_it_stretched(said: dict[str, str]) -> None:
    assert only(YOLO | said) == Preprocess(scale=1 / 255, fit="squash", resample="opencv-linear")


def test_yolov5_says_too_little() -> None:
    """It writes names and stride alone, and its classifiers want ImageNet's mean, its detectors none."""
    assert list(metadata_preprocess({"stride": "32", "names": "{0: 'cat'}"}, "here")) == []


def test_openvinos_model_api() -> None:
    said = {"model_info mean_values": "123.675 116.28 103.53", "model_info scale_values": "58.395 57.12 57.375",
            "model_info resize_type": "standard", "model_info reverse_input_channels": "False"}  # fmt: skip
    found = only(said)
    assert (found.mean, found.std, found.scale) == ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 1.0)
    assert (found.fit, found.fraction) == ("squash", 1.0)
    padded = only(said | {"model_info resize_type": "fit_to_window_letterbox", "model_info pad_value": "114"})
    assert (padded.fit, padded.pad_colour) == ("pad", (114, 114, 114))
    assert only({"model_info mean_values": "None", "model_info scale_values": ""}).std == (1.0,)


def test_metadata_without_such_words_say_nothing() -> None:
    assert list(metadata_preprocess({"author": "someone", "model_info model_type": "x"}, "here")) == []
