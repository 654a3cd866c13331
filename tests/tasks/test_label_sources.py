"""Names of classes that come with a model: in the file, beside it, or ImageNet's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxsal.errors import UsageError
from onnxsal.tasks.label_sources import Found, find_labels
from onnxsal.tasks.labels import Labels, imagenet

PETS = ("cat", "dog", "a fish")


def labels_beside(model: Path, classes: int, metadata: dict[str, str] | None = None) -> Any:
    found = find_labels(model, classes, metadata or {})
    return found.labels and found.labels.names


def test_labels_are_found_by_count_or_beside_the_model(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    assert labels_beside(model, 3) is None
    assert labels_beside(model, 1000) == imagenet()
    assert labels_beside(model, 1001) == ("background", *imagenet())
    (tmp_path / "labels.txt").write_text("1st\n2nd\n3rd")
    assert labels_beside(model, 3) == ("1st", "2nd", "3rd")
    assert labels_beside(model, 1000) == imagenet()
    (tmp_path / "config.json").write_text(json.dumps({"id2label": dict(enumerate(PETS))}))
    assert labels_beside(model, 3) == PETS
    (tmp_path / "net.labels.txt").write_text("a\nb\nc")
    assert labels_beside(model, 3) == ("a", "b", "c")
    with pytest.raises(UsageError, match="3 labels, but the model has 4"):
        find_labels(model, 4, {})
    assert labels_beside(model, 2, {"onnxsal.labels": '["no", "yes"]'}) == ("no", "yes")


def test_a_configuration_without_labels_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 768}')
    assert find_labels(tmp_path / "net.onnx", 3, {}).labels is None


NAMES = {"names": "{0: 'cat', 1: 'dog', 2: 'a fish'}", "author": "Ultralytics"}


def test_imagenets_names_come_with_a_note(tmp_path: Path) -> None:
    found = find_labels(tmp_path / "net.onnx", 1000, {})
    said = "nothing names the model's 1000 classes: ImageNet's 1000 classes are assumed"
    assert found.notes == (f"{said}; --labels (labels=...) names others",)
    assert [(each.what, each.why) for each in found.decisions] == [("labels", "ImageNet's 1000 classes")]
    (tmp_path / "labels.txt").write_text("\n".join(f"thing number {i}" for i in range(1000)))
    named = find_labels(tmp_path / "net.onnx", 1000, {})
    assert named.notes == ()
    assert named.labels is not None
    assert named.labels.names[7] == "thing number 7"
    assert find_labels(tmp_path / "net.onnx", 0, {}) == find_labels(tmp_path / "other.onnx", 3, {}) == Found()


def test_what_was_written_for_onnxsal_then_the_file_then_what_lies_beside_it(tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    inside = [Labels(("i", "j", "k"), "the graph")]
    (tmp_path / "labels.txt").write_text("1st\n2nd\n3rd")
    assert labels_beside(model, 3, NAMES) == PETS
    found = find_labels(model, 3, NAMES, inside)
    assert found.labels is inside[0]
    said = "labels disagree: class 0 is 'i' by the graph, which is taken, and 'cat' by the model's metadata 'names' "
    assert found.notes == (said + "(Ultralytics); --labels (labels=...) settles it",)
    (tmp_path / "net.labels.txt").write_text("a\nb\nc")
    assert labels_beside(model, 3, NAMES) == ("a", "b", "c")
    assert labels_beside(model, 3, NAMES | {"onnxsal.labels": "x\ny\nz"}) == ("x", "y", "z")


def test_the_same_names_in_other_words_agree(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("Cat\nDog, Canis familiaris\na_fish")
    assert find_labels(tmp_path / "net.onnx", 3, NAMES).notes == ()


def test_placeholders_give_way_to_names_and_stay_where_there_are_none(tmp_path: Path) -> None:
    config = {"id2label": {str(i): f"LABEL_{i}" for i in range(3)}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert labels_beside(tmp_path / "net.onnx", 3) == ("LABEL_0", "LABEL_1", "LABEL_2")
    (tmp_path / "labels.txt").write_text("\n".join(PETS))
    found = find_labels(tmp_path / "net.onnx", 3, {})
    assert found.labels is not None
    assert (found.labels.names, found.notes) == (PETS, ())


def test_names_of_another_number_are_told_and_not_taken(tmp_path: Path) -> None:
    found = find_labels(tmp_path / "net.onnx", 80, NAMES)
    assert found.labels is None
    assert found.notes == (
        "the model's metadata 'names' (Ultralytics) names 3 classes, and the model has 80: these names are not taken",
    )


def test_what_is_wrong_beside_a_model_hurts_only_who_needs_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"id2label": 3}')
    with pytest.raises(UsageError, match="id2label is an object"):
        find_labels(tmp_path / "net.onnx", 3, {})
    assert labels_beside(tmp_path / "net.onnx", 3, NAMES) == PETS
    assert labels_beside(tmp_path / "net.onnx", 3, {"onnxsal.labels": "x\ny\nz"}) == ("x", "y", "z")
