"""Names that tools write beside a model, in the files and forms that they write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxsal.tasks.label_neighbours import neighbours

PETS = ("cat", "dog", "a fish")
SYNSETS = ["n02121808", "n02084071", "n02512053"]
FILES: dict[str, Any] = {
    "labels.txt": "cat\ndog\na fish",
    "labels.txt of Teachable Machine": "0 cat\n1 dog\n2 a fish\n",
    "labels.txt of DeepStream": "cat;dog;a fish\n",
    "class_names.txt": "cat\ndog\na fish\n",
    "classes.txt": "cat\ndog\na fish",
    "label_list.txt": "0 cat\n1 dog\n2 a fish",
    "synset.txt": "n02121808 cat\nn02084071 dog\nn02512053 a fish",
    "labels.json": list(PETS),
    "class_indices.json": {"0": "cat", "1": "dog", "2": "a fish"},
    "class_names.json": {"cat": 0, "dog": 1, "a fish": 2},
    "index_to_name.json": {"0": ["n02121808", "cat"], "1": ["n02084071", "dog"], "2": ["n02512053", "a fish"]},
    "config.json of Hugging Face": {"id2label": {"0": "cat", "1": "dog", "2": "a fish"}},
    "config.json of timm": {"architecture": "resnet18", "label_names": list(PETS), "pretrained_cfg": {}},
    "config.json of timm, inside": {"architecture": "resnet18", "pretrained_cfg": {"label_names": list(PETS)}},
    "config.json of timm, described": {"label_names": SYNSETS,
                                       "label_descriptions": dict(zip(SYNSETS, PETS, strict=True))},
    "signature.json of Lobe": {"inputs": {}, "outputs": {}, "classes": {"Label": list(PETS)}},
    "metadata.json of Teachable Machine": {"packageName": "@teachablemachine/image", "labels": list(PETS)},
    "config.min.json of Magika": {"beg_size": 1024, "target_labels_space": list(PETS)},
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_of_tools(tmp_path: Path, name: str) -> None:
    content, file = FILES[name], tmp_path / name.partition(" ")[0]
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    (found,) = neighbours(tmp_path / "net.onnx", 3)
    assert (found.names, found.source) == (PETS, str(file))
    assert list(neighbours(tmp_path / "net.onnx", 4)) == []


@pytest.mark.parametrize("content", ["", "{", "[1, 2", '{"labels": {"a": "b"}}', '"text"', "3"], ids=repr)
def test_other_contents_are_passed_over(tmp_path: Path, content: str) -> None:
    for name in ("config.json", "labels.json", "metadata.json", "classes.txt"):
        (tmp_path / name).write_text(content)
    assert list(neighbours(tmp_path / "net.onnx", 3)) == []


def test_above_a_folder_called_onnx(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "config.json").write_text(json.dumps(FILES["config.json of timm"]))
    (found,) = neighbours(tmp_path / "onnx" / "model.onnx", 3)
    assert found.names == PETS
