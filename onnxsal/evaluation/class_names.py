"""Which class of a detector each name or number of annotations is: by the whole name, and never by its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnxsal.errors import UsageError
from onnxsal.evaluation.items import Item
from onnxsal.model import Model

Kind = str | int
_SHOWN = 8


@dataclass(frozen=True)
class Classes:
    """Classes by what annotations call them; what they call so and the model does not have is in none."""

    indices: Mapping[Kind, int] = field(default_factory=dict)
    unlabelled: bool = False
    """Whether the annotations say of no box what is in it, so that any detection may be on it."""
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> frozenset[int]:
        """The model's classes that the annotations tell of."""
        return frozenset(self.indices.values())


def classes_of(model: Model, items: Sequence[Item]) -> Classes:
    """Return what the annotations of pictures call a detector's classes.

    Raises: UsageError: the names are those of no class, or nothing says what they are.
    """
    kinds = {kind for each in items for kind in each.listed} | {k for each in items for k in each.kinds or ()}
    if not kinds - {None}:
        return Classes(unlabelled=True, notes=(NO_LABELS,))
    named = [each.name for each in items if None in (each.kinds or ())]
    if named:
        raise UsageError(
            f"a box of {named[0]!r} has no label, and others have one: a detection is matched by its label"
        )
    told = sorted((k for k in kinds if k is not None), key=lambda kind: (isinstance(kind, str), kind))
    found = {kind: _index(model, kind) for kind in told}
    indices = {kind: index for kind, index in found.items() if index is not None}
    others = [kind for kind, index in found.items() if index is None]
    if not indices:
        raise UsageError(
            f"none of the annotations' labels is a class of the model: {_listed(others)}{_classes(model)}; call both "
            "the same (--labels names the model's)"
        )
    return Classes(indices, False, _notes(model, indices, others))


NO_LABELS = "the annotations say of no box what is in it: detections of any label are matched with it"


def _index(model: Model, kind: Kind) -> int | None:
    if isinstance(kind, int):
        return _number(model, kind)
    if model.labels is None:
        raise UsageError(
            f"the annotations call something {kind!r}, and nothing says what the model's classes are called: --labels "
            "(labels=) does"
        )
    return model.labels.exactly(kind)


def _number(model: Model, kind: int) -> int:
    """Numbers are the model's own, as YOLO's are, unless it counts something that is no object."""
    labels, count = model.labels, model.task.labelled
    first = "" if labels is None or not len(labels) else labels.short(0).strip("_ ").casefold()
    if first == "background" or (labels is None and not count):
        why = "the model's class 0 is the background" if first else "the model numbers its classes itself"
        raise UsageError(f"the annotations number their classes, and {why}: name them, in classes.txt or data.yaml")
    if kind >= count:
        raise UsageError(f"the annotations have a class {kind}; the model has {count}, 0 to {count - 1}")
    return kind


def _notes(model: Model, indices: Mapping[Kind, int], others: Sequence[Kind]) -> tuple[str, ...]:
    notes = []
    if others:
        notes.append(f"no class of the model is called {_listed(others)}: boxes of that kind are left out")
    names = () if model.labels is None else tuple(model.labels.names)
    unheard = [model.label(at) for at in range(len(names)) if at not in set(indices.values())]
    unheard = [name for name in unheard if name.strip("_ ").casefold() != "background"]
    if unheard:
        notes.append(f"the annotations know no {_listed(unheard)}: detections of that label are held against nothing")
    return tuple(notes)


def _listed(names: Sequence[Kind]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _classes(model: Model) -> str:
    return "" if model.labels is None else f". It has {_listed(model.labels.names)}"


__all__ = ["NO_LABELS", "Classes", "classes_of"]
