"""Which of several outputs a file is opened for: what is asked of its names, and what is told of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from onnxsal.anatomy import Anatomy
from onnxsal.decisions import Decision
from onnxsal.errors import UsageError
from onnxsal.model.asked import Asked
from onnxsal.tasks import Wanted
from onnxsal.tasks.heads import Choice
from onnxsal.tasks.label_sources import find_labels, given_names
from onnxsal.tasks.registry import choice_of
from onnxsal.tasks.words import Words


@dataclass(frozen=True)
class Chosen:
    """What was decided of a file's outputs, what users are told, and what has to be asked before anything is
    explained."""

    decided: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()
    question: str = ""


def wanted_of(asked: Asked, path: str, metadata: Mapping[str, str]) -> Wanted:
    """Return what was said of the outputs, and how many names of classes are known."""
    fits = partial(_are_named, asked, path, metadata)
    return replace(asked.wanted, fits=fits, words=Words(path, metadata, asked.activation, fits))


def chosen_head(anatomy: Anatomy, wanted: Wanted, path: str) -> Chosen:
    """Return what was decided of several outputs; nothing where there is one."""
    if len(anatomy.model.graph.outputs) == 1:
        return Chosen()
    choice: Choice = choice_of(anatomy.model.graph, wanted)
    told = (choice.note,) if len(choice.outputs) > 1 else ()
    return Chosen((choice.decision,), told, choice.question(path))


def _are_named(asked: Asked, path: str, metadata: Mapping[str, str], classes: int) -> bool:
    """Whether somebody names so many classes: a user, the file or a neighbour; ImageNet's are nobody's word."""
    try:
        own = given_names(asked.labels, path, metadata)
        found = None if own is not None else find_labels(path or "model.onnx", classes, metadata).labels
    except UsageError:  # what is wrong with them is told where they are read
        return False
    return own == classes or (found is not None and "ImageNet" not in found.source)
