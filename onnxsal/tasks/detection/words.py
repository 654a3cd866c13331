"""What stands in a file about its candidates: Ultralytics' metadata, and how many labels there are."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.described import Stated
from onnxsal.tasks.detection.heads import logits_at, logits_pair
from onnxsal.tasks.detection.rows import Rows, count_of
from onnxsal.tasks.indexed import shown
from onnxsal.tasks.label_words import as_names, literal
from onnxsal.tasks.words import Words

_ULTRALYTICS = ("detect", "segment", "pose", "obb")
_RTDETR = "RTDETRDecoder"
"""The head whose picked boxes are middles and sizes in shares, where YOLO's are corners in pixels."""
_BOX = 4
_RANK = 3

Shape = tuple[int | str | None, ...]


def names_in(words: Words) -> tuple[str, ...]:
    """Return the classes that the metadata name, as Ultralytics writes them."""
    return as_names(literal(words.metadata["names"]), 0) if "names" in words.metadata else ()


def kind_in(words: Words) -> str:
    """Return Ultralytics' task, where it is one of boxes; YOLOv5 writes names and stride alone."""
    told = words.metadata.get("task", "detect" if {"names", "stride"} <= words.metadata.keys() else "")
    return told if told in _ULTRALYTICS else ""


def of_metadata(graph: ir.Graph, words: Words) -> Stated | None:
    """Return the candidates that Ultralytics' metadata and the shape of the first output give together."""
    names = names_in(words)
    if not kind_in(words) or not names:
        return None
    output = graph.outputs[0]
    shape = dims(output) or ()
    if len(shape) != _RANK:
        return None
    found = _of_sizes(output, shape, len(names), words)
    return None if found is None else Stated(found, names if found.labels is not None else ())


def _rest(output: ir.Value, axis: int, start: int) -> Rows | None:
    stop = (dims(output) or ())[axis]
    return Rows((str(output.name),), axis, start, stop) if isinstance(stop, int) and start < stop else None


def _of_sizes(output: ir.Value, shape: Shape, classes: int, words: Words) -> Candidates | None:
    name = str(output.name)
    where = f"the metadata 'names' ({classes}) and the shape {shown(shape)} of {name!r}"
    if words.metadata.get("head") == _RTDETR and shape[2] == _BOX + 2:
        return _picked(name, output, "cxcywh", "shares", f"the metadata 'head' ({_RTDETR}) and {where}")
    if _is_picked(words):
        fits = shape[2] == _BOX + 2 + _more(output, words)
        form = "cxcywh" if kind_in(words) == "obb" else "ltrb"
        return _picked(name, output, form, "pixels", where) if fits else None
    if "task" not in words.metadata:
        return None if shape[2] != _BOX + 1 + classes else Candidates(
            (name,), Rows((name,), 2, 0, _BOX), "cxcywh", "pixels", count=count_of(output, 2), proof=where,
            probabilities=Rows((name,), 2, _BOX + 1, _BOX + 1 + classes), objectness=Rows((name,), 2, _BOX, _BOX + 1),
        )  # fmt: skip
    if shape[1] != _BOX + classes + _more(output, words):
        return None
    return Candidates(
        (name,), Rows((name,), 1, 0, _BOX), "cxcywh", "pixels", count=count_of(output, 1), proof=where,
        probabilities=Rows((name,), 1, _BOX, _BOX + classes), logits=logits_at(output, 1, (_BOX, _BOX + classes)),
        rest=_rest(output, 1, _BOX + classes),
    )  # fmt: skip


def _picked(name: str, output: ir.Value, form: str, unit: str, proof: str) -> Candidates:
    """Return the rows that a file has picked: box, score, number of the class."""
    return Candidates(
        (name,), Rows((name,), 2, 0, _BOX), form, unit, count=count_of(output, 2), proof=proof,
        rest=_rest(output, 2, _BOX + 2),
        probabilities=Rows((name,), 2, _BOX, _BOX + 1), labels=Rows((name,), 2, _BOX + 1, _BOX + 2), suppress=False,
    )  # fmt: skip


def _more(output: ir.Value, words: Words) -> int:
    """Return how many numbers a candidate has behind its scores: an angle, keypoints, coefficients of prototypes."""
    kind, graph = kind_in(words), output.graph
    if kind == "pose":
        sizes = literal(words.metadata.get("kpt_shape", ""))
        return prod(sizes) if isinstance(sizes, list | tuple) and all(isinstance(n, int) for n in sizes) else -1
    if kind == "segment":
        prototypes = next((dims(v) for v in (graph.outputs if graph else ()) if len(dims(v) or ()) == 4), None)
        return prototypes[1] if prototypes is not None and isinstance(prototypes[1], int) else -1
    return 1 if kind == "obb" else 0


def _is_picked(words: Words) -> bool:
    """Whether the metadata say that the file itself picks the best candidates."""
    arguments = literal(words.metadata.get("args", ""))
    picks = isinstance(arguments, Mapping) and arguments.get("nms") is True
    return picks or words.metadata.get("end2end") == "True"


def told_apart(found: Candidates | None, words: Words) -> Candidates | None:
    """Return candidates whose first score may be that of any object as the number of labels says it.

    Without labels the classes are those of channels that come first, as YOLOv8 and later put them out; where channels
    come last, as in YOLOv5 with its objectness, nothing proves which it is: None.
    """
    if found is None or not found.in_doubt or words.fits(found.classes):
        return found
    if words.fits(found.classes - 1):
        return found.with_objectness
    return found if found.probabilities is not None and found.probabilities.axis == 1 else None


def of_pair(graph: ir.Graph, words: Words) -> Stated | None:
    """Return the candidates of DETR's kin: boxes and logits, and what a user or the number of labels says of these.

    One label a logit: each is true or not (Deformable DETR, RT-DETR); one less: the last logit is no object (DETR).
    """
    if words.activation in ("sigmoid", "softmax"):
        found = logits_pair(graph, words.activation, "was asked for")
        return None if found is None else Stated(found)
    found = logits_pair(graph, "sigmoid", "as there are as many labels as logits", once=True)
    if found is None:
        return None
    if words.fits(found.classes):
        return Stated(found)
    if words.fits(found.classes - 1):
        why = "as there is one label less than there are logits: the last is no object"
        less = logits_pair(graph, "softmax", why, once=True)
        return None if less is None else Stated(less)
    return None
