"""The names of classes that come with a model: in the file, beside it, or ImageNet's where nothing names them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from onnxsal.decisions import Decision
from onnxsal.errors import UsageError
from onnxsal.tasks.label_files import parse_labels
from onnxsal.tasks.label_neighbours import neighbours
from onnxsal.tasks.label_words import are_placeholders, metadata_labels
from onnxsal.tasks.labels import Labels, LabelSource, as_labels, imagenet, read_labels

METADATA_KEY = "onnxsal.labels"
_SHOWN = 3


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
    own = next((each for each in _beside(Path(model_path)) if each.is_file()), None) if model_path else None
    return None if own is None else len(read_labels(own))


def _beside(model: Path) -> tuple[Path, ...]:
    """Return where the labels of a model, and of no other, may lie beside it."""
    return tuple(model.with_name(f"{model.stem}.labels.{suffix}") for suffix in ("txt", "json"))


@dataclass(frozen=True)
class Found:
    """The labels of a model, and what is to be told of how they were found."""

    labels: Labels | None = None
    notes: tuple[str, ...] = ()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What was decided; nothing where nothing names the classes."""
        return () if self.labels is None else (decision(self.labels),)


def decision(labels: Labels) -> Decision:
    """Return which labels a model has, and why."""
    first = ", ".join(labels.short(i) for i in range(min(_SHOWN, len(labels))))
    more = " ..." if len(labels) > _SHOWN else ""
    return Decision("labels", f"{len(labels)}: {first}{more}", labels.source)


def find_labels(
    model_path: str | os.PathLike[str], classes: int, metadata: Mapping[str, str], inside: Iterable[Labels] = ()
) -> Found:
    """Return the labels that come with a model of so many classes; a task without classes has none.

    Looked for in its metadata (key ``onnxsal.labels``), in ``<stem>.labels.txt`` or ``<stem>.labels.json`` beside it;
    then, where there are as many as the model classes, in its graph, in its metadata in others' words, and in the files
    beside it that tools export with a model. Otherwise 1000 classes are ImageNet's, and 1001 "background" and those.

    Args: inside: what the graph says (``tasks.class_labels``).
    Raises: UsageError: the model's own are wrong.
    """
    if not classes:
        return Found()
    model, said = Path(model_path), list(metadata_labels(metadata, classes))
    other = tuple(_other(labels, classes) for labels in said if len(labels) != classes)
    fitting = [labels for labels in (*inside, *said) if len(labels) == classes]
    own = list(islice(_own(model, classes, metadata), 1))
    every = [*own, *_others(model, classes, fitting, strict=not own)]
    if every:
        return Found(every[0], (*other, *_disagreement(every)))
    bundled = _bundled(classes)
    return Found(bundled, other if bundled is None else (*other, _assumed(bundled)))


def _own(model: Path, classes: int, metadata: Mapping[str, str]) -> Iterator[Labels]:
    """Labels that were written for onnxsal, which are wrong where their number is."""
    if METADATA_KEY in metadata:
        where = f"the model's metadata {METADATA_KEY!r}"
        yield Labels(parse_labels(metadata[METADATA_KEY], where), where).checked(classes)
    for own in _beside(model):
        if own.is_file():
            yield as_labels(own, classes)


def _others(model: Path, classes: int, said: list[Labels], *, strict: bool) -> list[Labels]:
    """Return what the file says and what lies beside it, names that say nothing last.

    Raises: UsageError: what lies beside it is wrong, and nothing else says anything.
    """
    try:
        every = [*said, *neighbours(model, classes)]
    except UsageError:
        if strict and not said:
            raise
        every = said
    return sorted(every, key=lambda labels: are_placeholders(labels.names))


def _other(labels: Labels, classes: int) -> str:
    return f"{labels.source} names {len(labels)} classes, and the model has {classes}: these names are not taken"


def _disagreement(every: Sequence[Labels]) -> tuple[str, ...]:
    """Say where sources of as many names call a class differently."""
    taken = every[0]
    for other in every[1:]:
        at = next((i for i in range(len(taken)) if not _same(taken.names[i], other.names[i])), None)
        if at is not None and not are_placeholders(other.names):
            said = f"class {at} is {taken.short(at)!r} by {taken.source}, which is taken, and {other.short(at)!r} by "
            return (f"labels disagree: {said}{other.source}; --labels (labels=...) settles it",)
    return ()


def _same(first: str, second: str) -> bool:
    """Whether two names have a synonym in common."""
    one, two = ({part.strip().casefold().replace("_", " ") for part in name.split(",")} for name in (first, second))
    return not one.isdisjoint(two)


def _assumed(labels: Labels) -> str:
    return (
        f"nothing names the model's {len(labels)} classes: {labels.source} are assumed; "
        "--labels (labels=...) names others"
    )


def _bundled(classes: int) -> Labels | None:
    if classes == len(imagenet()):
        return Labels(imagenet(), "ImageNet's 1000 classes")
    if classes == len(imagenet()) + 1:
        return Labels(("background", *imagenet()), "background and ImageNet's 1000 classes")
    return None
