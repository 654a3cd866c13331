"""Names of classes that come with a model: in the file, beside it, or ImageNet's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxsal.errors import UsageError
from onnxsal.tasks.label_sources import find_labels
from onnxsal.tasks.labels import imagenet

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
