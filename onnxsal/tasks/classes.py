"""Classes as targets: by index, by label, two of them as a difference, or the one that a model predicts."""

from __future__ import annotations

import re
from typing import Any, SupportsIndex

import numpy as np

from onnxsal.errors import UsageError
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.target import Target, difference, one
from onnxsal.tasks.task import Numbers, label_of


def class_target(classes: int, labels: Labels | None, target: Any, numbers: Numbers) -> Target:
    """Return what a target means to a model of so many classes; None is the class of highest probability.

    Raises: UsageError: an index out of range, a label that is unknown or ambiguous.
    """
    if target is None:
        best = int(np.argmax(numbers["probability"]))
        return one(best, label_of(labels, best))
    if isinstance(target, tuple):
        if len(target) != 2:
            raise UsageError(f"a pair of targets (a, b) means a minus b; got {len(target)} of them")
        a, b = (class_index(classes, labels, each) for each in target)
        return difference((a, b), (label_of(labels, a), label_of(labels, b)))
    index = class_index(classes, labels, target)
    return one(index, label_of(labels, index))


def class_index(classes: int, labels: Labels | None, target: Any, what: str = "classes") -> int:
    """Return the class that an index or a label means. Args: what: messages call them.

    Raises: UsageError: out of range, unknown or ambiguous.
    """
    if isinstance(target, SupportsIndex) and not isinstance(target, bool):
        index = int(target.__index__())
    elif (
        isinstance(target, str)
        and target.strip().lstrip("-").isdigit()
        and (labels is None or target.strip() not in labels.names)
    ):
        index = int(target)
    elif isinstance(target, str):
        return _by_label(labels, target)
    else:
        raise UsageError(f"a target is an index, a label, a pair, None or a Program; got {type(target).__name__}")
    if not 0 <= index < classes:
        raise UsageError(f"target {index} is out of range: the model has the {what} 0 to {classes - 1}")
    return index


_ALL = "all"

_FOREIGN = (
    (re.compile(_ALL), "all that is detected, which detectors have: --task detection"),
    (re.compile(r"#\d+"), "the number of a detection, which detectors have: --task detection"),
    (re.compile(r"rank\s*[<>].*"), "a bound of ranks, which ordinal models have: --task ordinal"),
    (re.compile(r".*@.+"), "a place, which models of regions and of boxes have: --task dense, --task detection"),
    (re.compile(r"next"), "the next token, which language models have: --task next-token"),
    (re.compile(r".+ at \S.*"), "a label at a word, which models that label every token have: --task token-labels"),
    (re.compile(r".+\[[^]]*"), "an element whose bracket is not closed: NAME[0, 3]"),
)
"""How targets of other tasks are written, and what they are."""


def _by_label(labels: Labels | None, text: str) -> int:
    try:
        return _found(labels, text)
    except UsageError as error:
        foreign = next((what for written, what in _FOREIGN if written.fullmatch(text.strip())), None)
        if foreign is None:
            raise
        raise UsageError(f"{error}. {text!r} reads as {foreign}") from None


def _found(labels: Labels | None, text: str) -> int:
    if labels is None:
        raise UsageError(f"target {text!r} is a label, and the model has none: give an index, or labels with --labels")
    if text.strip() != _ALL:
        return labels.find(text)
    found = labels.exactly(text)  # else it would be part of one class's name: of "ball", or "all-terrain bike"
    if found is None:
        raise UsageError(f"no class is called {text!r}{labels.nearest(text)}")
    return found
