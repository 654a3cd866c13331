"""Names of classes that lie beside a model, in the files that tools export with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.files import beside, read_text
from onnxsal.plain_yaml import parse_yaml
from onnxsal.tasks.label_files import parse_labels
from onnxsal.tasks.label_words import Names, as_names, characters_read, literal
from onnxsal.tasks.labels import Labels

_FILES = (
    "config.json",  # Hugging Face: id2label; timm: label_names
    "labels.txt",  # Custom Vision, Teachable Machine, TensorFlow Lite, TAO
    "labels.json",
    "class_names.txt",  # Roboflow
    "class_names.json",
    "classes.txt",
    "classes.json",
    "class_indices.json",
    "index_to_name.json",  # TorchServe
    "label_list.txt",  # Paddle
    "label_map.json",
    "labelmap.txt",  # TensorFlow Lite's samples
    "dict.txt",  # AutoML
    "synset.txt",  # MXNet
    "signature.json",  # Lobe: classes.Label
    "metadata.json",  # Teachable Machine: labels
    "config.min.json",  # Magika: target_labels_space
    "inference.yml",  # PaddleX: PostProcess
)
_LONG_READ = frozenset({"config.json", "labels.txt"})
"""Files that are wrong where they cannot be read; others may be something else of that name."""

_KEYS = ("id2label", "label_names", "labels", "classes", "class_names", "names", "Label", "target_labels_space",
         "label_list", "idx_to_class", "class_to_idx", "label2id")  # fmt: skip
"""What an object calls its names, in the order in which they are taken."""

_INSIDE = ("pretrained_cfg", "classes")
"""Objects in which they may lie."""


def neighbours(model: Path, classes: int) -> Iterator[Labels]:
    """Yield the labels in the folder of a model that are as many as its classes: others may well be another model's.

    Raises: UsageError: ``config.json`` or ``labels.txt`` is no text, or its labels are of no known form.
    """
    for name in _FILES:
        for path in beside(model, name):
            if path.is_file():
                names = _names(path, classes) if name in _LONG_READ else _if_readable(path, classes)
                if len(names) == classes:
                    yield Labels(names, str(path))


def _if_readable(path: Path, classes: int) -> Names:
    try:
        return _names(path, classes)
    except UsageError:  # something else of that name
        return ()


def _names(path: Path, classes: int) -> Names:
    text = read_text(path, "labels")
    if path.suffix == ".yml":
        return _of_paddle(parse_yaml(text, str(path)), classes)
    if path.suffix == ".json":
        return _in_json(text, str(path), classes)
    names = parse_labels(text, str(path)) if text.strip() else ()
    return _one_line(names, classes)


def _of_paddle(config: Any, classes: int) -> Names:
    """PaddleX names the classes of a step behind the model, or the characters of a reader of text."""
    behind = config.get("PostProcess") if isinstance(config, Mapping) else None
    for each in (config, behind, *(behind.values() if isinstance(behind, Mapping) else ())):
        if isinstance(each, Mapping):
            if len(names := as_names(each.get("label_list"), classes)) == classes:
                return names
            if isinstance(characters := each.get("character_dict"), list):
                return characters_read(tuple(map(str, characters)), classes)
    return ()


def _one_line(names: Names, classes: int) -> Names:
    """DeepStream's classifiers have all of their labels in one line."""
    if len(names) == 1 and classes > 1 and names[0].count(";") >= classes - 1:
        return tuple(name.strip() for name in names[0].strip().strip(";").split(";"))
    return names


def _in_json(text: str, where: str, classes: int) -> Names:
    if '"id2label"' in text:
        return parse_labels(text, where)
    value = literal(text)
    if isinstance(value, Mapping):
        named = _named(value, classes) or next(
            (n for key in _INSIDE if isinstance(value.get(key), Mapping) and (n := _named(value[key], classes))), ()
        )
        if named:
            return named
    plain = isinstance(value, list | Mapping) and where.endswith(_PLAIN)
    return parse_labels(text, where) if plain else ()


_PLAIN = ("labels.json", "class_names.json", "classes.json", "class_indices.json", "index_to_name.json",
          "label_map.json")  # fmt: skip
"""Files that are nothing but labels."""


def _named(value: Mapping[str, Any], classes: int) -> Names:
    """Return the names under a known key, described where descriptions are given."""
    names = next((found for key in _KEYS if len(found := as_names(value.get(key), classes)) == classes), ())
    described = value.get("label_descriptions")
    if isinstance(described, Mapping):
        return tuple(str(described.get(name, name)) for name in names)
    return names
