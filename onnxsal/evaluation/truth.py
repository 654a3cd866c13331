"""What each picture shows, from the places where people keep it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from onnxsal.errors import UsageError, nearest
from onnxsal.evaluation.items import Item
from onnxsal.evaluation.match import matched
from onnxsal.explanation.target import resolve_target
from onnxsal.files import csv_cells, read_text
from onnxsal.model import Model

Truth: TypeAlias = str | os.PathLike[str] | Mapping[str, int | str]

FROM_NAMES, FROM_FOLDERS = "names", "folders"
_PREFIX = re.compile(r"(\d+)[_-]")
_SHOWN = 5


def with_truth(items: Sequence[Item], truth: Truth | None) -> list[Item]:
    """Return the pictures with the classes that they show.

    Args: truth: ``names`` where file names begin with the class index (``0207_dog.jpg``), ``folders`` where each lies
        in a folder of its class's name, a CSV or text file of names and labels, or a mapping.
    Raises: UsageError: a picture has no label, or none of the labels is for one of these pictures.
    """
    if truth is None:
        return list(items)
    if truth == FROM_NAMES:
        return [replace(each, truth=_prefix(each)) for each in items]
    if truth == FROM_FOLDERS:
        return [replace(each, truth=_folder(each)) for each in items]
    if not isinstance(truth, str | os.PathLike | Mapping):
        raise UsageError(f"truth is names, folders, a file, or a dict from names to labels; got {truth!r}")
    where = "the labels given" if isinstance(truth, Mapping) else str(os.fspath(truth))
    known = dict(truth) if isinstance(truth, Mapping) else read_truth(truth)
    return _looked_up(items, known, where)


def _prefix(item: Item) -> int:
    found = _PREFIX.match(Path(item.name).name)
    if found is None:
        raise UsageError(f"the name {item.name!r} does not begin with a class index, as 0207_dog.jpg does")
    return int(found[1])


def _folder(item: Item) -> str:
    if item.path is None:
        raise UsageError(f"{item.name!r} is no file, so it lies in no folder of its class's name")
    return item.path.absolute().parent.name


def read_truth(path: str | os.PathLike[str]) -> dict[str, int | str]:
    """Return the labels in a file by picture name.

    Lines are ``name,label``; in a file without commas the name and the label are parted by the first blank. A first
    line that calls its columns image (or file, filename, name) and label (or class, target) may order them otherwise.

    Raises: UsageError: it cannot be read, a line has no label, or a picture stands in it twice with two labels.
    """
    rows = _rows(read_text(path, "truth"), os.fspath(path))
    name_at, label_at, rest = _columns(rows)
    found: dict[str, int | str] = {}
    for line, row in rest:
        if len(row) <= max(name_at, label_at) or not row[name_at] or not row[label_at]:
            raise UsageError(f"{os.fspath(path)}, line {line}: expected a picture and its label, got {', '.join(row)}")
        name, label = row[name_at], row[label_at]
        value = int(label) if label.isdecimal() else label
        if found.setdefault(name, value) != value:
            raise UsageError(f"{os.fspath(path)}, line {line}: {name!r} has two labels, {found[name]!r} and {value!r}")
    return found


Rows = list[tuple[int, list[str]]]


def _rows(text: str, where: str) -> Rows:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if any("," in line for _, line in lines):
        return [(number, csv_cells(line, f"{where}, line {number}")) for number, line in lines]
    return [(number, [part.strip() for part in line.strip().split(None, 1)]) for number, line in lines]


def _columns(rows: Rows) -> tuple[int, int, Rows]:
    head = [cell.lower() for cell in rows[0][1]] if rows else []
    name_at = next((i for i, cell in enumerate(head) if cell in ("image", "file", "filename", "name", "path")), None)
    label_at = next((i for i, cell in enumerate(head) if cell in ("label", "class", "target", "truth")), None)
    return (0, 1, rows) if name_at is None or label_at is None else (name_at, label_at, rows[1:])


def _looked_up(items: Sequence[Item], known: Mapping[str, int | str], where: str) -> list[Item]:
    labels = matched(items, known, where)
    found = [replace(each, truth=label) for each, label in zip(items, labels, strict=True)]
    missing = [each.name for each in found if each.truth is None]
    if missing:
        listed = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        raise UsageError(f"{where} has no label for {listed}{nearest(missing[0], known)}")
    return found


def resolved(items: Sequence[Item], model: Model, offset: int | None) -> list[int | None]:
    """Return the class index of every picture's truth, None where it has none.

    Args: offset: added to labels that are numbers. None: 1 where the model's first class is the background and it has
        one class more than ImageNet, else 0.
    Raises: UsageError: labels that the model does not have, all of them.
    """
    shift = background(model) if offset is None else offset
    found: list[int | None] = []
    wrong: dict[str, str] = {}
    for each in items:
        try:
            found.append(_index(model, each.truth, shift))
        except UsageError as error:
            wrong.setdefault(str(each.truth), f"{each.name}: {error}")
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more labels" if len(wrong) > _SHOWN else ""
        raise UsageError(f"labels that the model does not have: {'; '.join(list(wrong.values())[:_SHOWN])}{more}")
    return found


def _index(model: Model, truth: Any, shift: int) -> int | None:
    if truth is None:
        return None
    if isinstance(truth, np.integer):
        truth = int(truth)
    if not isinstance(truth, int | str) or isinstance(truth, bool):
        raise UsageError(f"a label is the index of a class or its name; got {truth!r}")
    target = resolve_target(model, truth + shift if isinstance(truth, int) else _named(model, truth, shift), {}).target
    assert isinstance(target, int)
    return target


def _named(model: Model, text: str, shift: int) -> int | str:
    """A label of many pictures has to be a class's name: a part of one, which may be typed for one picture, would
    find another class in silence. Digits that name no class are a number."""
    if model.labels is None:
        return int(text) + shift if text.strip().isdecimal() else text
    found = model.labels.exactly(text)
    if found is None and text.strip().isdecimal():
        return int(text) + shift
    if found is None:
        raise UsageError(f"no class is called {text!r}{model.labels.nearest(text)}")
    return found


def background(model: Model) -> int:
    """Return by how much a model's indices are ahead of ImageNet's: 1 where class 0 is the background, else 0."""
    names = model.labels.names if model.labels is not None else ()
    return int(len(names) == 1001 and names[0].strip().lower() == "background")
