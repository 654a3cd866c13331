"""Height and width as others say them: every spelling, and who goes before whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxsal.errors import UsageError
from onnxsal.modalities.image.sizes import sides_of, stated_sizes, stated_stride

SPELLINGS: dict[str, tuple[Any, tuple[int, int] | None]] = {
    "a number": (384, (384, 384)),
    "a pair": ([48, 192], (48, 192)),
    "one in a list": ([640], (640, 640)),
    "channels first": ([3, 48, 192], (48, 192)),
    "channels last": ((48, 192, 3), (48, 192)),
    "with a batch": ([1, 3, 48, 192], (48, 192)),
    "Ultralytics' imgsz": ("[480, 640]", (480, 640)),
    "a tuple as text": ("(224, 288)", (224, 288)),
    "crosses": ("3x224x288", (224, 288)),
    "commas": ("224,288", (224, 288)),
    "digits": ("320", (320, 320)),
    "an object as text": ('{"height": 48, "width": 192}', (48, 192)),
    "an object": ({"height": 48, "width": 192}, (48, 192)),
    "the short edge": ({"shortest_edge": 256}, (256, 256)),
    "the long edge": ({"longest_edge": 1024}, (1024, 1024)),
    "both edges: it varies": ({"shortest_edge": 800, "longest_edge": 1333}, None),
    "no size": ("large", None),
    "nothing": ([], None),
    "a negative one": (-1, None),
    "too many": ([1, 2, 3, 4, 5], None),
    "five channels between": ([5, 6, 7], None),
    "a truth": (True, None),
    "JSON that nests": ('"' + "384" + '"', None),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling(name: str) -> None:
    given, expected = SPELLINGS[name]
    assert sides_of(given) == expected


NORMAL = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_resize": True}

SQUARE = {"height": 224, "width": 224}

PROCESSORS: dict[str, tuple[dict[str, Any], tuple[int, int] | None]] = {
    "ViT": ({"size": {"height": 384, "width": 384}}, (384, 384)),
    "ViT of old": ({"size": 224}, (224, 224)),
    "CLIP": ({"size": {"shortest_edge": 224}, "do_center_crop": True, "crop_size": SQUARE}, (224, 224)),
    "ResNet": ({"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224}, (224, 224)),
    "BEiT, its crop switched off": ({"size": 256, "do_center_crop": False, "crop_size": 224}, (256, 256)),
    "ConvNeXt": ({"size": {"shortest_edge": 288}, "crop_pct": 0.875}, (288, 288)),
    "Perceiver, which crops first": (
        {"image_processor_type": "PerceiverImageProcessor", "do_center_crop": True, "crop_size": 256,
         "size": SQUARE}, (224, 224),
    ),
    "Donut": ({"size": {"height": 2560, "width": 1920}}, (2560, 1920)),
    "Donut of old, width first": (
        {"feature_extractor_type": "DonutFeatureExtractor", "size": [1920, 2560]}, (2560, 1920)
    ),
    "SAM": ({"size": {"longest_edge": 224}, "do_pad": True, "pad_size": SQUARE}, (224, 224)),
    "Swin2SR, which pads to a multiple": ({"do_resize": False, "pad_size": 8, "do_pad": True}, None),
    "DETR": ({"size": {"shortest_edge": 800, "longest_edge": 1333}}, None),
    "resizing switched off": ({"do_resize": False, "size": 224}, None),
    "DPT that keeps the shape": ({"size": {"height": 384, "width": 384}, "keep_aspect_ratio": True}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", PROCESSORS)
def test_processors_of_transformers(name: str, tmp_path: Path) -> None:
    config, expected = PROCESSORS[name]
    for where, held in (
        ("preprocessor_config", NORMAL | config),
        ("processor_config", {"image_processor": NORMAL | config}),
    ):
        folder = tmp_path / where
        folder.mkdir()
        (folder / f"{where}.json").write_text(json.dumps(held))
        found = stated_sizes(None, folder / "model.onnx", {})
        assert [tuple(each.sizes.values()) for each in found] == ([] if expected is None else [expected])
        assert all(str(folder / f"{where}.json") == each.where for each in found)


EDGES: dict[str, tuple[dict[str, Any], str]] = {
    "CLIP without its crop": ({"size": {"shortest_edge": 224}, "do_center_crop": False}, "shortest_edge 224"),
    "the longer edge without padding": ({"size": {"longest_edge": 64}}, "longest_edge 64"),
    "CLIP": ({"size": {"shortest_edge": 224}, "do_center_crop": True, "crop_size": SQUARE}, ""),
    "ConvNeXt": ({"size": {"shortest_edge": 288}, "crop_pct": 0.875}, ""),
    "ConvNeXt of old": ({"size": {"shortest_edge": 224}, "feature_extractor_type": "ConvNextFeatureExtractor"}, ""),
    "SAM": ({"size": {"longest_edge": 224}, "do_pad": True, "pad_size": SQUARE}, ""),
    "ViT": ({"size": SQUARE}, ""),
    "ViT of old": ({"size": 224}, ""),
}


@pytest.mark.parametrize("name", EDGES)
def test_a_square_that_is_made_of_one_edge_is_told(name: str, tmp_path: Path) -> None:
    """The processor itself keeps the photograph's shape there: the size is no word of the file's."""
    config, said = EDGES[name]
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(NORMAL | config))
    (found,) = stated_sizes(None, tmp_path / "model.onnx", {})
    assert found.note == (said and f"{path} says {said} alone, of which a square is made")
    (told,) = stated_sizes(NORMAL | config, "m.onnx", {})
    assert told.note == (said and f"preprocess= says {said} alone, of which a square is made")


TIMM = {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 288, 288], "test_input_size": [3, 320, 320]}}


def test_timm_says_it_in_a_file_or_in_metadata(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TIMM))
    (found,) = stated_sizes(None, tmp_path / "model.onnx", {})
    assert (found.sizes, found.where) == ({"H": 288, "W": 288}, str(tmp_path / "config.json"))
    (told,) = stated_sizes(None, "model.onnx", {"pretrained_cfg": json.dumps(TIMM["pretrained_cfg"])})
    assert (told.sizes, told.where) == ({"H": 288, "W": 288}, "the file's metadata 'pretrained_cfg'")


def test_who_goes_before_whom(tmp_path: Path) -> None:
    model, own = tmp_path / "onnx" / "model.onnx", {"preset": "unit", "size": [16, 24]}
    model.parent.mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "image_size": 224}))
    assert [each.sizes for each in stated_sizes(None, model, {})] == [{"H": 224, "W": 224}]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(NORMAL | {"size": 384}))
    assert [each.sizes for each in stated_sizes(None, model, {})] == [{"H": 384, "W": 384}]
    both = stated_sizes(None, model, {"imgsz": "[640, 480]"})
    assert [(each.sizes["H"], each.where) for each in both] == [
        (640, "the file's metadata 'imgsz'"), (384, str(tmp_path / "preprocessor_config.json")),
    ]  # fmt: skip
    assert [each.sizes for each in stated_sizes(own, model, {"imgsz": "640"})] == [{"H": 16, "W": 24}]
    handed = tmp_path / "mine.json"
    handed.write_text(json.dumps(own))
    assert [each.sizes for each in stated_sizes(handed, model, {"imgsz": "640"})] == [{"H": 16, "W": 24}]
    assert [each.sizes["H"] for each in stated_sizes("imagenet", model, {"imgsz": "640"})] == [640, 384]


def test_two_towers_say_it_of_their_vision(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {}, "vision_config": {"image_size": 336}}))
    assert [each.sizes for each in stated_sizes(None, tmp_path / "m.onnx", {})] == [{"H": 336, "W": 336}]


def test_words_of_others_that_are_no_sizes_are_passed_over() -> None:
    assert stated_sizes(None, "m.onnx", {"input_size": "fits your screen", "crop_size": "", "imgsz": "{}"}) == ()


def test_a_neighbour_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json is not valid JSON"):
        stated_sizes(None, tmp_path / "m.onnx", {})


@pytest.mark.parametrize(("text", "stride"), [("32", 32), ("[8, 16, 64]", 64), ("none", 1), ("0", 1), (None, 1)])
def test_the_stride(text: str | None, stride: int) -> None:
    assert stated_stride({} if text is None else {"stride": text}) == stride
