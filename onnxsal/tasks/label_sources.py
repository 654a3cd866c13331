"""The names of classes that come with a model: in its metadata, beside it, or ImageNet's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from onnxsal.files import beside, read_text
from onnxsal.tasks.label_files import parse_labels
from onnxsal.tasks.labels import Labels, LabelSource, as_labels, imagenet, read_labels

METADATA_KEY = "onnxsal.labels"


def given_names(source: LabelSource | None, model_path: str, metadata: Mapping[str, str]) -> int | None:
    """Return how many labels a user gives, or the file has for itself; None where there are none.

    Raises: UsageError: they cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        return len(read_labels(source))
    if source is not None:
        return len(source)
    if METADATA_KEY in metadata:
        return len(parse_labels(metadata[METADATA_KEY], METADATA_KEY))
    own = next((each for each in _own(Path(model_path)) if each.is_file()), None) if model_path else None
    return None if own is None else len(read_labels(own))


def _own(model: Path) -> tuple[Path, ...]:
    """Return where the labels of a model, and of no other, may lie beside it."""
    return tuple(model.with_name(f"{model.stem}.labels.{suffix}") for suffix in ("txt", "json"))


def find_labels(model_path: str | os.PathLike[str], classes: int, metadata: Mapping[str, str]) -> Labels | None:
    """Return the labels that come with a model of so many classes, or None; a task without classes has none.

    Looked for in its metadata (key ``onnxsal.labels``), in ``<stem>.labels.txt`` or ``<stem>.labels.json`` beside it,
    in ``config.json`` or ``labels.txt`` beside it where these have as many labels as the model classes; otherwise
    1000 classes are ImageNet's, and 1001 are "background" and ImageNet's.

    Raises: UsageError: the model's own are wrong.
    """
    if not classes:
        return None
    if METADATA_KEY in metadata:
        where = f"the model's metadata {METADATA_KEY!r}"
        return Labels(parse_labels(metadata[METADATA_KEY], where), where).checked(classes)
    model = Path(model_path)
    for own in _own(model):
        if own.is_file():
            return as_labels(own, classes)
    return _shared(model, classes) or _bundled(classes)


def _shared(model: Path, classes: int) -> Labels | None:
    """Labels of the folder rather than of the model: they may well belong to another one, so the count decides."""
    for path in (*beside(model, "config.json"), *beside(model, "labels.txt")):
        if path.is_file():
            text = read_text(path, "labels")
            if path.suffix == ".json" and "id2label" not in text:
                continue
            labels = Labels(parse_labels(text, str(path)), str(path))
            if len(labels) == classes:
                return labels
    return None


def _bundled(classes: int) -> Labels | None:
    if classes == len(imagenet()):
        return Labels(imagenet(), "ImageNet's 1000 classes")
    if classes == len(imagenet()) + 1:
        return Labels(("background", *imagenet()), "background and ImageNet's 1000 classes")
    return None
