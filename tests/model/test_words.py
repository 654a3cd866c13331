"""What a file and its neighbours say: in the model, its decisions and notes, and what stays when it is opened again."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import onnx
import pytest
import tiny_models
from onnx import helper

import onnxsal
from onnxsal.model.words import facts_in

YOLO = {"author": "Ultralytics", "task": "classify", "stride": "32", "imgsz": "[16, 16]",
        "names": "{0: 'red', 1: 'green', 2: 'blue', 3: 'green apple'}"}  # fmt: skip


def saying(folder: Path, **words: str) -> Path:
    """Return the path of the tiny classifier whose metadata say this alone."""
    proto = tiny_models.classifier()
    del proto.metadata_props[:]
    helper.set_model_props(proto, words)
    onnx.save(proto, folder / "net.onnx")
    return folder / "net.onnx"


def decided(model: onnxsal.Model) -> dict[str, tuple[str, str]]:
    """Return what was decided of words, and why."""
    return {each.what: (each.value, each.why) for each in model.decided if each.what in ("labels", "preprocess")}


def told(model: onnxsal.Model) -> list[str]:
    """Return the notes on words."""
    return [note for note in model.notes if "label" in note or "names" in note or "preprocessing" in note]


def test_a_file_that_says_all_of_it(tmp_path: Path) -> None:
    model = onnxsal.load(saying(tmp_path, **YOLO))
    assert model.labels is not None and model.preprocess is not None
    assert model.labels.names == tiny_models.LABELS
    assert (model.preprocess.scale, model.preprocess.fraction) == (1 / 255, 1.0)
    assert told(model) == []
    found = decided(model)
    assert found["labels"] == ("4: red, green, blue ...", "the model's metadata 'names' (Ultralytics)")
    assert found["preprocess"][1] == "the model's metadata 'task' (Ultralytics)"
    assert json.loads(found["preprocess"][0])["crop_fraction"] == 1.0
    assert {"labels", "preprocess"} <= {each["what"] for each in model.inspect()["decided"]}


def test_what_was_given_goes_before_it(tmp_path: Path) -> None:
    model = onnxsal.load(saying(tmp_path, **YOLO), labels=list("abcd"), preprocess="tf")
    assert decided(model) == {"labels": ("4: a, b, c ...", "the labels given"), "preprocess": ("tf", "given")}
    assert told(model) == []
    other = onnxsal.load(tmp_path / "net.onnx").preprocessed("raw")
    assert decided(other)["preprocess"] == ("raw", "given")
    again = other.reopened(labels=list("efgh"))
    assert again.preprocess == other.preprocess
    assert decided(again)["labels"][0] == "4: e, f, g ..."


def test_what_lies_beside_it(tmp_path: Path) -> None:
    path = saying(tmp_path)
    assert decided(onnxsal.load(path)) == {}
    words = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_0_1"}
    (tmp_path / "metadata_properties.json").write_text(json.dumps(words))
    (tmp_path / "labels.txt").write_text("\n".join(tiny_models.LABELS))
    model = onnxsal.load(path)
    assert model.preprocess is not None
    assert model.preprocess.colour == "BGR"
    found = decided(model)
    assert found["labels"][1] == str(tmp_path / "labels.txt")
    assert found["preprocess"][1].endswith(
        "metadata_properties.json 'Image.BitmapPixelFormat'; it does not say how a photograph is fitted: "
        "the largest centre part is taken"
    )
    assert pickle.loads(pickle.dumps(model)).decided == model.decided


def test_what_cannot_be_read_is_a_note_and_no_error(tmp_path: Path) -> None:
    model = onnxsal.load(saying(tmp_path, **{"Image.BitmapPixelFormat": "Nv12", "names": "{0: 'a'}"}))
    assert model.preprocess is None and model.labels is None
    first, second = told(model)
    assert "names 1 classes, and the model has 4" in first
    assert "got 'Nv12'" in second


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"sample_rate": "16000"}, {"sample_rate": 16000}),
        ({"sampling_rate": "22050.0"}, {"sample_rate": 22050.0}),
        ({"feature_names": '["p0", "age"]'}, {"feature_names": ["p0", "age"]}),
        ({"feature_names": "['p0', 'age']"}, {"feature_names": ["p0", "age"]}),
        ({"feature_names": "p0, age"}, {"feature_names": ["p0", "age"]}),
        ({"sample_rate": "fast", "feature_names": "", "author": "someone"}, {}),
    ],
)
def test_facts_of_numbers(metadata: dict[str, str], found: dict[str, object]) -> None:
    assert facts_in(metadata) == found


def test_inspect_tells_them(tmp_path: Path) -> None:
    assert onnxsal.load(saying(tmp_path, sample_rate="8000")).inspect()["stated"] == {"sample_rate": 8000}
