"""What a file and its neighbours say of themselves: the names of classes, how pictures are prepared, further facts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir

from onnxsal.anatomy import Anatomy
from onnxsal.decisions import Decision
from onnxsal.graph import dims
from onnxsal.graph.maps import CLASS_LABELS
from onnxsal.modalities.audio.preprocess import SoundPreprocess
from onnxsal.modalities.image import Preprocess
from onnxsal.modalities.registry import Modality
from onnxsal.model.asked import Asked
from onnxsal.tasks import Task, task_of
from onnxsal.tasks.class_labels import class_labels
from onnxsal.tasks.label_sources import Found, find_labels, given_names
from onnxsal.tasks.label_words import literal
from onnxsal.tasks.labels import Labels, Rows, labels_in

GIVEN = "given"
"""Why something is so that a user said."""

_FACTS = ("sample_rate", "sampling_rate", "feature_names")
"""Metadata that say what a model's numbers are."""


@dataclass(frozen=True)
class Recognised:
    """What the graph of a file was found to be."""

    modality: Modality
    anatomy: Anatomy


@dataclass(frozen=True)
class Words:
    """What is taken of a file's and its neighbours' words, why, and what is to be told of it."""

    preprocess: Preprocess | None
    sound: SoundPreprocess | None
    labels: Labels | None
    decided: tuple[Decision, ...]
    notes: tuple[str, ...]


def read_words(source: ir.Model, path: str, asked: Asked, known: Recognised) -> Words:
    """Return what a file as it was read, and what lies beside it, say: what was given goes before both.

    Raises: UsageError: what was given, or was written for onnxsal, is wrong.
    """
    metadata, entry = dict(source.metadata_props), known.anatomy.entry
    preprocess = known.modality.find_preprocess(_own_preprocess(asked, known.modality), path, metadata, entry)
    tell = getattr(known.modality, "preprocess_notes", None)
    told = () if tell is None or asked.preprocess is not None else tuple(tell(path, metadata, entry))
    labels = _labels(source, path, asked, known.anatomy)
    decided = (*labels.decisions, *preprocess_decisions(preprocess, given=asked.preprocess is not None))
    sound = preprocess if isinstance(preprocess, SoundPreprocess) else None
    preprocess = None if sound is not None else preprocess
    return Words(preprocess, sound, labels.labels, decided, (*_cut(source), *labels.notes, *told))


def _own_preprocess(asked: Asked, modality: Modality) -> Any:
    """Return what was said of how pictures are prepared; nothing where that is of one that is held."""
    return asked.preprocess if modality.preprocessed or not any(each.rows for each in asked.held.values()) else None


def _labels(source: ir.Model, path: str, asked: Asked, anatomy: Anatomy) -> Found:
    task = task_of(anatomy)
    if asked.labels is not None:
        return Found(task.named(labels_in(asked.labels)))
    rows = _of_rows(source.graph, asked, task)
    if rows is not None:
        return Found(rows)
    metadata, inside = dict(source.metadata_props), list(class_labels(source, task)) if task.labelled else []
    inside += [Labels(task.own_names, task.own_source)] if task.own_names else []
    each = [find_labels(path or "model.onnx", n, metadata, inside) for n in _counts(task, path, metadata)]
    found = next((one for one in each if one.labels is not None), each[0])
    return found if found.labels is None else replace(found, labels=task.named(found.labels))


def _of_rows(graph: ir.Graph, asked: Asked, task: Task) -> Labels | None:
    """Return the texts or pictures that an input is held at as the names of the numbers in the output; None where these
    are not those of its rows, which is so where an axis of both has one name, or the input has one row."""
    shape = next((dims(v) or () for v in graph.outputs if v.name == task.output), ())
    for value in graph.inputs:
        constant = asked.held.get(str(value.name))
        if constant is None or not constant.rows or len(shape) != 2 or task.kinds.keys() - _NAMED:
            continue
        first = (dims(value) or (None,))[0]
        if len(constant.rows) == task.size and (first in shape or task.size == 1):
            return Rows(constant.rows, f"what {value.name!r} is held at")
    return None


_NAMED = frozenset({"logit", "probability", "value"})
"""Kinds of numbers that names are of."""


def _counts(task: Task, path: str, metadata: Mapping[str, str]) -> Sequence[int]:
    """Return how many labels may name what a task has: as many as the file itself has, where that is one of several."""
    own = given_names(None, path, metadata) if len(task.name_counts) > 1 else None
    if own is None:
        return task.name_counts
    return (own,) if own in task.name_counts else (task.labelled,)


def preprocess_decisions(preprocess: Preprocess | SoundPreprocess | None, *, given: bool) -> tuple[Decision, ...]:
    """Return how pictures are prepared, and who says so; nothing where nobody does."""
    if isinstance(preprocess, SoundPreprocess):
        return (Decision("preprocess", json.dumps(preprocess.described()), preprocess.where or GIVEN),)
    if not isinstance(preprocess, Preprocess):  # of another modality, whose own name says it
        return () if preprocess is None else (Decision("preprocess", preprocess.name, GIVEN if given else "beside"),)
    said = preprocess.described()
    value = said if isinstance(said, str) else preprocess.to_json(inside=False)
    why = GIVEN if given else "the input takes bytes" if preprocess.name == "raw" else preprocess.name
    fit = "; it does not say how a photograph is fitted: the largest centre part is taken"
    told = preprocess.said and f"; {preprocess.said}"
    return (Decision("preprocess", value, why + fit * preprocess.open_fit + told),)


def _cut(source: ir.Model) -> tuple[str, ...]:
    """Say which outputs are maps in the file."""
    return tuple(
        f"the output {name!r} is a map of class to score in the file: the scores in front of it are read"
        for name in source.meta.get(CLASS_LABELS, {})
    )


def facts_in(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what metadata say of a model's numbers: ``sample_rate`` in Hz, ``feature_names``."""
    found: dict[str, Any] = {}
    for key in _FACTS:
        value = literal(metadata[key]) if key in metadata else None
        if key == "feature_names":
            names = value if isinstance(value, list | tuple) else metadata.get(key, "").split(",")
            found |= {key: [str(name).strip() for name in names]} if metadata.get(key) else {}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found["sample_rate"] = value
    return found
