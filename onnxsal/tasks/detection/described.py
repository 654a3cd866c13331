"""What a small JSON of ours beside a file says of its candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from onnxsal.errors import UsageError, nearest
from onnxsal.files import parse_json, read_text
from onnxsal.graph import dims
from onnxsal.graph.program import values_by_name
from onnxsal.tasks.detection.candidates import FORMS, UNITS, Candidates
from onnxsal.tasks.detection.grids import Grid
from onnxsal.tasks.detection.rows import Rows, count_of
from onnxsal.tasks.indexed import Element, shown
from onnxsal.tasks.label_words import as_names
from onnxsal.tasks.words import Words

SUFFIX = ".detection.json"
KEYS = ("boxes", "format", "unit", "scores", "activation", "objectness", "classes", "labels", "background", "strides",
        "nms")  # fmt: skip
ACTIVATIONS = ("none", "sigmoid", "softmax")

_BOX = 4
_RANK = 3


def beside(words: Words) -> Path | None:
    """Return where the JSON lies that describes a file's detections; None where there is no file."""
    return Path(words.path).with_name(f"{Path(words.path).stem}{SUFFIX}") if words.path else None


@dataclass(frozen=True)
class Stated:
    """Candidates as words say them, and the names of their classes where these say them too."""

    candidates: Candidates
    names: tuple[str, ...] = ()


def of_json(graph: ir.Graph, words: Words) -> Stated | None:
    """Return the candidates that the JSON beside the file says. Raises: UsageError: it is wrong."""
    path = beside(words)
    if path is None or not path.is_file():
        return None
    said = parse_json(read_text(path, "description of detections"), str(path))
    if not isinstance(said, Mapping):
        raise UsageError(f"{path}: expected an object with the keys {', '.join(KEYS)}")
    unknown = [key for key in said if key not in KEYS]
    if unknown:
        raise UsageError(f"{path}: there is no key {unknown[0]!r}{nearest(str(unknown[0]), KEYS)}")
    return _stated(graph, said, str(path))


def _stated(graph: ir.Graph, said: Mapping[str, Any], where: str) -> Stated:
    values = values_by_name(graph)
    parts = {key: _rows(values, said[key], f"{where}: {key}") for key in ("boxes", "scores", "objectness", "classes")
             if said.get(key) is not None}  # fmt: skip
    for key in ("boxes", "scores"):
        if key not in parts:
            raise UsageError(f"{where}: {key} is missing: the part of an output, such as 'output[:, :, 0:4]'")
    boxes, activation = parts["boxes"], _word(said, "activation", ACTIVATIONS, where, default="none")
    if boxes.channels != _BOX:
        raise UsageError(f"{where}: boxes has {boxes.channels} numbers for each candidate, expected 4")
    shares = activation == "none"
    labels = parts.get("classes")
    found = Candidates(
        tuple(dict.fromkeys(name for rows in parts.values() for name in rows.values)),
        boxes, _word(said, "format", FORMS, where), _word(said, "unit", UNITS, where, default="pixels"),
        probabilities=parts["scores"] if shares else None, logits=None if shares else parts["scores"],
        activation=activation, objectness=parts.get("objectness"), labels=labels,
        background=_index(said, "background", parts["scores"].channels, where), background_by=where,
        suppress=bool(said.get("nms", True)), count=_count(values, boxes), grid=_grid(said, where), proof=where,
    )  # fmt: skip
    _check_counts(values, found, parts, where)
    return Stated(found, _names(said, where))


def _rows(values: Mapping[str, ir.Value], text: Any, where: str) -> Rows:
    """Return the rows that text such as ``output[:, :, 0:4]`` means: the one axis that is cut, or the last, has the
    channels."""
    element = Element.read(text, list(values)) if isinstance(text, str) else None
    if element is None:
        raise UsageError(f"{where}: expected a part of an output, such as 'output[:, :, 0:4]'; got {text!r}")
    value = values[element.output]
    shape = dims(value) or ()
    index = element.index or (slice(None),) * len(shape)
    if len(index) != len(shape) or len(shape) not in (2, _RANK):
        raise UsageError(f"{where}: {text!r} has {len(index)} entries, and {element.output!r} is {shown(shape)}")
    cut = [at for at, entry in enumerate(index) if entry != slice(None)]
    if len(cut) > 1:
        raise UsageError(f"{where}: {text!r} cuts several axes; expected one, that of the numbers of a candidate")
    if not cut and len(shape) == 2:
        return Rows((element.output,), None, 0, 1)
    axis = cut[0] if cut else len(shape) - 1
    start, stop = _ends(index[axis], shape[axis], f"{where}: {text!r}")
    return Rows((element.output,), axis, start, stop)


def _ends(entry: Any, size: Any, where: str) -> tuple[int, int]:
    if not isinstance(size, int):
        raise UsageError(f"{where}: the size of that axis depends on the picture")
    if isinstance(entry, int):
        found = range(entry % size, entry % size + 1) if -size <= entry < size else range(0)
    else:
        found = range(size)[entry] if isinstance(entry, slice) and entry.step in (None, 1) else range(0)
    if not len(found):
        raise UsageError(f"{where}: selects nothing of {size} numbers")
    return found.start, found.stop


def _count(values: Mapping[str, ir.Value], rows: Rows) -> int | None:
    return count_of(values[rows.values[0]], rows.axis)


def _check_counts(values: Mapping[str, ir.Value], found: Candidates, parts: Mapping[str, Rows], where: str) -> None:
    counts = {key: _count(values, rows) for key, rows in parts.items()}
    if len(set(counts.values())) > 1:
        raise UsageError(f"{where}: not as many candidates everywhere: {counts}")
    for key in ("objectness", "classes"):
        if key in parts and parts[key].channels != 1:
            raise UsageError(f"{where}: {key} has {parts[key].channels} numbers for each candidate, expected 1")
    if found.labels is not None and found.classes != 1:
        raise UsageError(f"{where}: classes gives a candidate one class, so that it has one score, not {found.classes}")


def _word(said: Mapping[str, Any], key: str, known: tuple[str, ...], where: str, *, default: str | None = None) -> str:
    word = said.get(key, default)
    if word not in known:
        raise UsageError(f"{where}: {key} is one of {', '.join(known)}; got {word!r}")
    return str(word)


def _index(said: Mapping[str, Any], key: str, count: int, where: str) -> int | None:
    index = said.get(key)
    if index is None:
        return None
    if not isinstance(index, int) or isinstance(index, bool) or not -count <= index < count:
        raise UsageError(f"{where}: {key} is the index of one of {count} scores; got {index!r}")
    return index % count


def _grid(said: Mapping[str, Any], where: str) -> Grid | None:
    strides = said.get("strides")
    if strides is None:
        return None
    if not isinstance(strides, list) or not all(isinstance(n, int) and n > 0 for n in strides) or not strides:
        raise UsageError(f"{where}: strides are whole numbers, such as [8, 16, 32]; got {strides!r}")
    return Grid(tuple(strides))


def _names(said: Mapping[str, Any], where: str) -> tuple[str, ...]:
    names = said.get("labels")
    if names is None:
        return ()
    found = tuple(_listed(names))
    if not found:
        raise UsageError(f"{where}: labels are a list of names; got {names!r}")
    return found


def _listed(names: Any) -> Iterator[str]:
    yield from as_names(names, 0) if isinstance(names, list | Mapping) else ()
