"""Names of classes as tools write them into text and data: metadata of files, JSON, Python's own notation."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from onnxsal.tasks.labels import Labels

Names = tuple[str, ...]

_LONGEST = 4 << 20
"""Characters of metadata that are read as data."""

_PLACEHOLDER = re.compile(r"(label|class)?[ _-]?\d+", re.IGNORECASE)
_LISTED = ("class_names", "classes", "labels", "label_names", "class_labels", "categories", "id2label", "idx_to_class",
           "class_to_idx", "label2id")  # fmt: skip
"""Keys under which people keep the names of classes, as data or separated by lines or commas."""


def metadata_labels(metadata: Mapping[str, str], classes: int) -> Iterator[Labels]:
    """Yield the names that a file's metadata hold, whether they are as many as the classes or not."""
    for key, read in _WORDS.items():
        names = read(metadata[key], classes) if key in metadata else ()
        if names:
            by = " (Ultralytics)" if metadata.get("author") == "Ultralytics" else ""
            yield Labels(names, f"the model's metadata {key!r}{by}")


def are_placeholders(names: Names) -> bool:
    """Return whether names say no more than their place, such as LABEL_0, which Hugging Face writes for none."""
    return all(_PLACEHOLDER.fullmatch(name) and re.sub(r"\D", "", name) == str(i) for i, name in enumerate(names))


def as_names(value: Any, classes: int) -> Names:
    """Return the names in a list, or an object of index to name or of name to index; none where it is neither.

    Where the last is the last class and some before it have no name, these are called by their number.
    """
    if isinstance(value, list | tuple):
        return tuple(map(_name, value)) if all(map(_is_name, value)) else ()
    if not isinstance(value, Mapping) or not value:
        return ()
    if all(isinstance(at, int) and not isinstance(at, bool) for at in value.values()) and any(
        not str(key).isdecimal() for key in value
    ):
        value = {at: key for key, at in value.items()}
    if not all(str(at).isdecimal() and _is_name(name) for at, name in value.items()):
        return ()
    named = {int(at): _name(name) for at, name in value.items()}
    count = classes if max(named) == classes - 1 else len(named)
    return tuple(named.get(i, f"class {i}") for i in range(count))


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _name(value: Any) -> str:
    return str(value).strip()


def literal(text: str) -> Any:
    """Return the data in text: JSON, or what Python writes of dicts and lists; None where it is neither."""
    if len(text) > _LONGEST:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None


def _data(text: str, classes: int) -> Names:
    return as_names(literal(text.strip()), classes)


def _separated(text: str, classes: int) -> Names:
    """Data, else lines, else commas, whichever gives as many as there are classes."""
    several = (_data(text, classes), *(tuple(map(str.strip, text.strip().split(sep))) for sep in ("\n", ";", ",")))
    return next((names for names in several if len(names) == classes and all(names)), several[0])


def _characters(text: str, classes: int) -> Names:
    """Characters, one a line."""
    return characters_read(tuple(text.split("\n")) if "\r" not in text else tuple(text.splitlines()), classes)


def characters_read(names: Names, classes: int) -> Names:
    """Return characters with the blank that readers of text have before them, and a space behind, as the count says."""
    return {1: ("blank", *names), 2: ("blank", *names, " ")}.get(classes - len(names), names)


def _spaced(text: str, classes: int) -> Names:
    """Names between spaces; one class more is that of none of them, which comes first."""
    names = tuple(text.split())
    return ("other", *names) if classes == len(names) + 1 else names


_WORDS: Mapping[str, Callable[[str, int], Names]] = {
    "names": _data,
    "character": _characters,
    "model_info labels": _spaced,
    **{key: partial(_separated) for key in _LISTED},
}
"""What is read of each key: Ultralytics and YOLOv5 write names, PaddleOCR's converters character, OTX model_info."""
