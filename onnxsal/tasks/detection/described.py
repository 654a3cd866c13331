"""What a small JSON of ours beside a file says of its candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from onnxsal.errors import UsageError, nearest
from onnxsal.files import parse_json, read_text
from onnxsal.graph import dims
from onnxsal.graph.program import values_by_name
from onnxsal.tasks.detection.beside import Keypoints, Masks, Turned
from onnxsal.tasks.detection.candidates import FORMS, UNITS, Candidates
from onnxsal.tasks.detection.grids import DISTANCES, OFFSETS, Grid
from onnxsal.tasks.detection.rows import Rows, count_of
from onnxsal.tasks.indexed import Element, shown
from onnxsal.tasks.label_words import as_names
from onnxsal.tasks.words import Words

SUFFIX = ".detection.json"
KEYS = ("boxes", "format", "unit", "scores", "activation", "objectness", "classes", "labels", "background", "strides",
        "offset", "anchors", "bins", "nms", "batch", "angle", "keypoints", "visibility", "masks",
        "prototypes")  # fmt: skip
ACTIVATIONS = ("none", "sigmoid", "softmax")

_PARTS = ("boxes", "scores", "objectness", "classes", "angle", "keypoints", "masks")
"""Keys that name numbers of a candidate."""
_BOX = 4
_STRIDES = "strides"
_RANKS = (2, 3, 4)
_CUT = "the part of an output, such as 'output[:, :, 0:4]', or a list of one a level"


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
    values, batched = values_by_name(graph), _flag(said, "batch", where)
    parts = {key: _rows(values, said[key], f"{where}: {key}", batched=batched)
             for key in _PARTS if said.get(key) is not None}  # fmt: skip
    for key in ("boxes", "scores"):
        if key not in parts:
            raise UsageError(f"{where}: {key} is missing: {_CUT}")
    boxes, activation = parts["boxes"], _word(said, "activation", ACTIVATIONS, where, "none")
    form, grid = _word(said, "format", (*FORMS, DISTANCES), where), _grid(said, where)
    shares = activation == "none"
    found = Candidates(
        tuple(dict.fromkeys(name for rows in parts.values() for name in rows.values)),
        boxes, "ltrb" if form == DISTANCES else form, "pixels" if grid else _word(said, "unit", UNITS, where, "pixels"),
        probabilities=parts["scores"] if shares else None, logits=None if shares else parts["scores"],
        activation=activation, objectness=parts.get("objectness"), labels=parts.get("classes"),
        background=_index(said, "background", parts["scores"].channels, where), background_by=where,
        suppress=_flag(said, "nms", where), count=_count(values, boxes), grid=grid, proof=where,
    )  # fmt: skip
    _check_counts(values, found, parts, where)
    return Stated(_with_beside(values, found, parts, said, where), _names(said, where))


def _with_beside(
    values: Mapping[str, ir.Value], found: Candidates, parts: Mapping[str, Rows], said: Mapping[str, Any], where: str
) -> Candidates:
    """Return candidates with their angles, keypoints and masks, as far as they are described."""
    if "angle" in parts:
        if (found.form, found.unit, found.grid) != ("cxcywh", "pixels", None):
            raise UsageError(f"{where}: angle turns boxes round their middles: format is cxcywh, unit pixels")
        found = replace(found, turned=Turned(parts["angle"]))
    if "keypoints" in parts:
        numbers = 3 if _flag(said, "visibility", where) else 2
        if parts["keypoints"].channels % numbers:
            count = parts["keypoints"].channels
            raise UsageError(f"{where}: keypoints has {count} numbers for each candidate, expected a multiple of "
                             f"{numbers}; visibility is false where each has x and y alone")  # fmt: skip
        found = replace(found, keypoints=Keypoints(parts["keypoints"], numbers))
    if "masks" not in parts:
        return found
    name = said.get("prototypes")
    shape = dims(values[name]) or () if isinstance(name, str) and name in values else ()
    if len(shape) != max(_RANKS) or shape[1] != parts["masks"].channels or not _is_count(shape[2] and shape[3]):
        raise UsageError(f"{where}: prototypes is an output of as many maps, [B, {parts['masks'].channels}, h, w], as "
                         f"masks has numbers; got {name!r}, {shown(shape)}")  # fmt: skip
    grid = int(shape[2] or 0), int(shape[3] or 0)
    outputs = tuple(dict.fromkeys((*found.outputs, str(name))))
    return replace(found, masks=Masks(parts["masks"], str(name), grid), outputs=outputs)


def _rows(values: Mapping[str, ir.Value], said: Any, where: str, *, batched: bool) -> Rows:
    """Return the rows that text such as ``output[:, :, 0:4]`` means, or a list of it, level behind level."""
    if not isinstance(said, list) or not said:
        return _part(values, said, where, batched=batched)
    levels = [_part(values, each, where, batched=batched) for each in said]
    first, ranks = levels[0], {len(dims(values[rows.values[0]]) or ()) for rows in levels}
    if len(ranks) > 1 or any(replace(rows, values=first.values) != first for rows in levels):
        raise UsageError(f"{where}: the same part of an output of the same rank on every level; got {said}")
    return replace(first, values=tuple(name for rows in levels for name in rows.values))


def _part(values: Mapping[str, ir.Value], text: Any, where: str, *, batched: bool) -> Rows:
    """Return the rows of one output: the one axis that is cut, or the last, has the channels."""
    element = Element.read(text, list(values)) if isinstance(text, str) else None
    if element is None:
        raise UsageError(f"{where}: expected {_CUT}; got {text!r}")
    shape = dims(values[element.output]) or ()
    restored = not batched and element.index is not None and len(element.index) == len(shape) - 1
    index = ((slice(None),) * restored + element.index) if element.index else (slice(None),) * len(shape)
    rank = len(shape) + (not batched and not restored)
    if len(index) != len(shape) or rank not in _RANKS:
        raise UsageError(f"{where}: {text!r} has {len(index)} entries, and {element.output!r} is {shown(shape)}")
    cut = [at for at, entry in enumerate(index) if entry != slice(None)]
    if len(cut) > 1:
        raise UsageError(f"{where}: {text!r} cuts several axes; expected one, that of the numbers of a candidate")
    if not cut and rank == max(_RANKS):
        raise UsageError(f"{where}: {text!r} cuts no axis: which of {shown(shape)} has the numbers of a candidate?")
    own = batched or restored
    if not cut and rank == min(_RANKS):
        return Rows((element.output,), None, 0, 1, own)
    axis = cut[0] if cut else len(shape) - 1
    start, stop = _ends(index[axis], shape[axis], f"{where}: {text!r}")
    return Rows((element.output,), axis, start, stop, own)


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
    counts = [count_of(values[name], rows.axis, batched=rows.batched) for name in rows.values]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _check_counts(values: Mapping[str, ir.Value], found: Candidates, parts: Mapping[str, Rows], where: str) -> None:
    expected = _BOX if found.grid is None else found.grid.channels
    if found.boxes.channels != expected:
        raise UsageError(f"{where}: boxes has {found.boxes.channels} numbers for each candidate, expected {expected}")
    counts = {key: _count(values, rows) for key, rows in parts.items()}
    if len(set(counts.values())) > 1:
        raise UsageError(f"{where}: not as many candidates everywhere: {counts}")
    for key in ("objectness", "classes", "angle"):
        if key in parts and parts[key].channels != 1:
            raise UsageError(f"{where}: {key} has {parts[key].channels} numbers for each candidate, expected 1")
    if found.labels is not None and found.classes != 1:
        raise UsageError(f"{where}: classes gives a candidate one class, so that it has one score, not {found.classes}")


def _word(said: Mapping[str, Any], key: str, known: tuple[str, ...], where: str, default: str | None = None) -> str:
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
    strides, distances = said.get("strides"), said.get("format") == DISTANCES
    if strides is None and not distances:
        return None
    if not isinstance(strides, list) or not all(_is_count(n) for n in strides) or not strides:
        raise UsageError(f"{where}: strides are whole numbers, such as [8, 16, 32]; got {strides!r}")
    for key in ("anchors", "bins"):
        if said.get(key) is not None and not _is_count(said[key]):
            raise UsageError(f"{where}: {key} is a whole number from 1 on; got {said[key]!r}")
    if not distances:
        _word(said, "unit", ("pixels",), where, "pixels")
        return Grid(tuple(strides), OFFSETS, _offset(said, where, 0.0), said.get("anchors") or 1)
    unit = _word(said, "unit", (_STRIDES, "pixels"), where)
    return Grid(tuple(strides), DISTANCES, _offset(said, where, 0.5), said.get("anchors") or 1, said.get("bins"),
                in_pixels=unit == "pixels")  # fmt: skip


def _is_count(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _offset(said: Mapping[str, Any], where: str, default: float) -> float:
    offset = said.get("offset", default)
    if isinstance(offset, bool) or not isinstance(offset, int | float) or not 0 <= offset <= 1:
        raise UsageError(f"{where}: offset is where in a cell its point is, from 0 to 1; got {offset!r}")
    return float(offset)


def _flag(said: Mapping[str, Any], key: str, where: str) -> bool:
    flag = said.get(key, True)
    if not isinstance(flag, bool):
        raise UsageError(f"{where}: {key} is true or false; got {flag!r}")
    return flag


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
