"""The names of a model's classes, and the class that a name means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import TypeAlias

from onnxsal.errors import UsageError
from onnxsal.files import read_text
from onnxsal.tasks.label_files import parse_labels

_LISTED = 12
"""Classes that a message lists."""

_BACKGROUND = frozenset({"background", "__background__", "bg", "void"})


def is_background(name: str) -> bool:
    """Return whether a label says that it is that of what is none of the others."""
    return name.strip().casefold() in _BACKGROUND


@dataclass(frozen=True)
class Labels:
    """The class names of a model, in the order of its scores; ``source`` says where they come from."""

    names: tuple[str, ...]
    source: str = "given"

    def __len__(self) -> int:
        return len(self.names)

    def short(self, index: int) -> str:
        """Return a class's first synonym: "tench" of "tench, Tinca tinca"."""
        return self.names[index].split(",")[0].strip()

    def checked(self, classes: int) -> Labels:
        """Return the labels themselves. Raises: UsageError: the model has another number of classes."""
        if len(self.names) != classes:
            hint = "; is the first class the background?" if classes == len(self.names) + 1 else ""
            raise UsageError(
                f"{self.source}: {len(self.names)} labels, but the model has {classes} classes{hint}; "
                "give a file with one label for each class"
            )
        return self

    def find(self, text: str) -> int:
        """Return the index of the class that ``text`` names, upper and lower case alike.

        The first of these that holds for exactly one class: the whole label, one of its synonyms (labels list them with
        commas), a whole word of it, any part of it. Digits that are no label are an index.

        Raises: UsageError: several classes are meant (all listed with their indices), or none (the nearest are named).
        """
        wanted = text.strip().casefold()
        found = self._one(text, self._matches(wanted))
        if found is not None:
            return found
        if wanted.isdecimal() and int(wanted) < len(self.names):
            return int(wanted)
        raise UsageError(f"no class is called {text!r}{self.nearest(text)}")

    def exactly(self, text: str) -> int | None:
        """Return the index of the class with this label or synonym, upper and lower case alike; None where none has it.

        Raises: UsageError: several classes have it (all listed with their indices).
        """
        return self._one(text, self._whole(text.strip().casefold()))

    def _one(self, text: str, levels: Iterable[list[int]]) -> int | None:
        found = next(filter(None, levels), []) if text.strip() else []
        if len(found) > 1:
            raise UsageError(
                f"the label {text!r} is ambiguous: {self._listing(found)}; give the index or a longer name"
            )
        return found[0] if found else None

    def _whole(self, wanted: str) -> Iterable[list[int]]:
        lowered = [name.casefold() for name in self.names]
        yield [index for index, name in enumerate(lowered) if name == wanted]
        yield [index for index, name in enumerate(lowered) if wanted in _synonyms(name)]

    def _matches(self, wanted: str) -> Iterable[list[int]]:
        """The classes that match at each level of care, most careful first."""
        word = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
        lowered = [name.casefold() for name in self.names]
        yield from self._whole(wanted)
        yield [index for index, name in enumerate(lowered) if word.search(name)]
        if not wanted.isdecimal():
            yield [index for index, name in enumerate(lowered) if wanted in name]

    def _listing(self, found: Sequence[int]) -> str:
        listed = ", ".join(f"{index} {self.short(index)!r}" for index in found[:_LISTED])
        return listed + (f" and {len(found) - _LISTED} more" if len(found) > _LISTED else "")

    def nearest(self, text: str) -> str:
        """Return the end of a message: the closest synonyms with their indices, or which classes there are."""
        wanted = text.strip().casefold()
        owner = {synonym: index for index, name in enumerate(self.names) for synonym in _synonyms(name.casefold())}
        close = get_close_matches(wanted, owner, n=3, cutoff=0.6)
        said = " or ".join(f"{synonym!r} ({owner[synonym]})" for synonym in close)
        if close:
            return f"; did you mean {said}?"
        listed = f": {', '.join(map(self.short, range(len(self.names))))}" if len(self.names) <= _LISTED else ""
        return f"; classes are 0 to {len(self.names) - 1}{listed}"


class Rows(Labels):
    """Names of what a model is asked to tell apart: each is one name, whatever commas it has."""

    def short(self, index: int) -> str:
        """Return the whole name."""
        return self.names[index]


LabelSource: TypeAlias = str | os.PathLike[str] | Sequence[str] | Labels


def _synonyms(name: str) -> list[str]:
    return [synonym.strip() for synonym in name.split(",")]


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the class names in a file: a label a line, JSON, or a Hugging Face ``config.json``.

    JSON is a list, an object of index to label, of index to [id, label], or of label to index. Lines may begin with
    their index or a WordNet number.

    Raises: UsageError: it cannot be read, or the indices leave gaps.
    """
    return parse_labels(read_text(path, "labels"), str(path))


def as_labels(source: LabelSource, classes: int) -> Labels:
    """Return the labels in a file or list.

    Raises: UsageError: they are wrong, or not as many as the model's classes.
    """
    return labels_in(source).checked(classes)


def labels_in(source: LabelSource) -> Labels:
    """Return the labels in a file or list, however many. Raises: UsageError: they are wrong."""
    if isinstance(source, Labels):
        return source
    if isinstance(source, str | os.PathLike):
        return Labels(read_labels(source), str(source))
    if isinstance(source, Sequence) and all(isinstance(name, str) for name in source):
        return Labels(tuple(source), "the labels given")
    raise UsageError(f"labels are a path or a list of strings; got {type(source).__name__}")


@cache
def imagenet() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 classes in the usual order (by WordNet number).

    Source: the lemmas of WordNet's synsets, as listed in timm 1.0.31 (Apache-2.0; its ``imagenet_synsets.txt`` gives
    the order, its ``imagenet_synset_to_lemma.txt`` the names).
    """
    text = resources.files("onnxsal.tasks").joinpath("imagenet.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
