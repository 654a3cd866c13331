"""Targets: what a score is asked of; what the model's task takes for one, or a program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxsal.anatomy import Score, X
from onnxsal.anatomy.layout import covers_all, where_it_lies
from onnxsal.errors import UsageError, nearest
from onnxsal.graph import Program
from onnxsal.kernels.placement import Placement
from onnxsal.modalities.frame import Frame, Voxels
from onnxsal.model import Model, Sample
from onnxsal.tasks import Numbers, Target
from onnxsal.tasks.outputs import named_outputs
from onnxsal.tasks.registry import LAST

if TYPE_CHECKING:  # other tasks than the model's are loaded for a target of theirs alone
    from onnxsal.tasks.dense import Region
    from onnxsal.tasks.detection import Box
    from onnxsal.tasks.embedding import Like
    from onnxsal.tasks.indexed import Element

    One = int | str | Region | Element | Like | Box
    TargetSource = One | tuple[One, One] | Program | None
else:
    TargetSource = Any

_MINUS = " minus "
"""Between the two of a pair, as text."""


def as_pair(model: Model, target: TargetSource) -> TargetSource:
    """Return a target, of text such as ``A minus B`` the pair that it means; a name that is written so is no pair."""
    if not isinstance(target, str) or _MINUS not in target:
        return target
    from onnxsal.tasks.embedding import PREFIX

    if target.strip().startswith(PREFIX) or _is_name(model, target):  # what is between references may be in their names
        return target
    starts = [found.start() for found in re.finditer(f"(?={_MINUS})", target)]  # "plus minus minus newt" has two
    pairs = [(target[:at].strip(), target[at + len(_MINUS) :].strip()) for at in starts]
    return next((pair for pair in pairs if all(_is_name(model, each) for each in pair)), pairs[0])


def _is_name(model: Model, text: str) -> bool:
    """Whether text names a class, or elements of an output."""
    from onnxsal.tasks.indexed import Element

    return _is_label(model, text) or Element.read(text, _outputs(model)) is not None


def _outputs(model: Model) -> list[str]:
    return [str(value.name) for value in model.anatomy.model.graph.outputs]


def opened_for(model: Model, target: TargetSource) -> Model:
    """Return the model that answers a target: itself, or the same file opened for the output that an element names.

    Raises: UsageError: there is no such output, or the two of a pair are of different ones.
    """
    outputs = _outputs_named(model, as_pair(model, target))
    if len(outputs) > 1:
        raise UsageError(f"a pair of elements (a, b) is of one output; got {' and '.join(map(repr, outputs))}")
    if not outputs:
        return model
    wanted: dict[str, Any] = {"task": LAST, "head": outputs[0], "labels": None, "activation": None}
    if (model.task.name, model.task.output) == (LAST, outputs[0]):  # nothing is left to be said of it
        notes = tuple(note for note in model.notes if note not in model.task.notes)
        return replace(model, notes=notes, asked=replace(model.asked, **wanted)) if model.task.notes else model
    made: Model = model.program((LAST, outputs[0]), lambda: model.reopened(**wanted))
    return replace(made, preprocess=model.preprocess, sound=model.sound)


def opened_for_all(model: Model, targets: Sequence[TargetSource]) -> Model:
    """Return the model that answers all of some targets where it is one, else the model itself."""
    first, *others = [opened_for(model, target) for target in targets]
    return first if all(other.anatomy is first.anatomy for other in others) else model


def _outputs_named(model: Model, target: TargetSource) -> list[str]:
    """Return the outputs of which a target names elements; what is a label of the model is none."""
    several = target if isinstance(target, tuple) else (target,)
    found = [each for each in (_element(model, one) for one in several) if each is not None]
    if found and len(found) < len(several):
        raise UsageError("a pair of targets (a, b) is of two classes or of two elements, not of one each")
    return list(dict.fromkeys(each.output for each in found))


def _element(model: Model, target: Any) -> Element | None:
    if _is_class(target):
        return None
    from onnxsal.tasks.indexed import Element, named_by

    names = _outputs(model)
    if isinstance(target, Element):
        return _known(target, names)
    if not isinstance(target, str) or (model.labels is not None and target.strip() in model.labels.names):
        return None
    found = Element.read(target, names)
    if found is None and (name := named_by(target)) and not _is_label(model, target):
        return _known(Element(name), names)
    own = found is not None and not found.index and found.output == model.task.output
    return None if own else found


def _is_label(model: Model, text: str) -> bool:
    """Whether text names a class of a model, such as one whose label ends in a number in brackets."""
    try:
        return model.labels is not None and model.labels.find(text) >= 0
    except UsageError:
        return False


def _is_class(target: Any) -> bool:
    """Whether a target is a class by its number, or the predicted one: nothing of another task."""
    return target is None or isinstance(target, int)


def _known(element: Element, names: Sequence[str]) -> Element:
    if element.output not in names:
        raise UsageError(
            f"the model has no output {element.output!r}{nearest(element.output, names)} (it has "
            f"{named_outputs(list(map(repr, names)))})"
        )
    return element


def looked_at(model: Model, target: TargetSource) -> TargetSource:
    """Return a target with the things in it as the model sees them, so that they are seen once for all pictures.

    Raises: ImageError, UsageError: one cannot be read, or is something else.
    """
    if isinstance(target, Program):
        return target

    notes: list[str] = []

    def see(thing: Any) -> Numbers:
        fitted = model.fitter(model, thing)  # of a size of its own, as what is explained is
        sample = fitted.sample
        called = thing if isinstance(thing, str) else sample.name
        notes.extend(f"the reference {called!r}: {note}" for note in sample.notes)
        return fitted.model.numbers(sample)  # type: ignore[no-any-return]

    found: TargetSource = model.task.looked_at(as_pair(model, target), see)
    return _noted(found, tuple(notes)) if notes else found


def _noted(target: Any, notes: tuple[str, ...]) -> Any:
    """Return what was looked at with what is to be told of it, a pair at the first of the two."""
    if isinstance(target, tuple):
        return (_noted(target[0], notes), *target[1:])
    return replace(target, notes=(*target.notes, *notes)) if hasattr(target, "notes") else target


def resolve_target(model: Model, target: TargetSource, numbers: Numbers, sample: Sample | None = None) -> Target:
    """Return what ``target`` means for a model; None is what it predicts.

    Args: numbers: what the model puts out for the picture (``Model.outputs``); empty where there is none yet.
    sample: that picture; without one a photograph is what the model takes, as in a compiled file.
    Raises: UsageError: an index out of range, a label that is unknown or ambiguous, a reference that is none.
    ImageError: a mask's file, a reference.
    """
    if isinstance(target, Program):
        return _program(target)
    target = as_pair(model, target)
    if not _is_class(target):
        _check_reference(model, target)
    if sample is not None and (sample.pieces or sample.heard is not None):
        target = model.task.in_text(target, sample, model.labels)
    placed = model.task.placed(looked_at(model, target), _frame(model, sample), model.labels)
    return _no_nought(model.task.resolve(placed, numbers, model.labels))


def _no_nought(target: Target) -> Target:
    """Return a target. Raises: UsageError: it takes away all that it adds up, so that it is 0 whatever goes in."""
    if target.program is None and (target.coefficients < 0).any() and (target.coefficients > 0).any():
        columns, place = np.unique(target.indices, return_inverse=True)
        if not np.bincount(place.reshape(-1), target.coefficients, len(columns)).any():
            raise UsageError(f"{target.label!r} is 0 whatever goes in: both are the same, and nothing tells them apart")
    return target


def _check_reference(model: Model, target: Any) -> None:
    """Check that references are of embeddings and regions of models of regions. Raises: UsageError: they are not."""
    from onnxsal.tasks.embedding import Embedding, is_like

    if is_like(target) and not isinstance(model.task, Embedding):
        raise UsageError(
            f"only embeddings are like something, and the output {model.task.output!r} is taken for {model.task.name}; "
            "if it is a vector whose direction counts, say so: --task embedding (task=)"
        )
    if _is_region(target) and not model.task.has_regions:
        raise UsageError(
            f"regions are of models of regions, and the output {model.task.output!r} is taken for {model.task.name}; "
            "if it holds one score per class of every position, say so: --task dense (task=)"
        )


def _is_region(target: Any) -> bool:
    from onnxsal.tasks.dense import Region

    return any(isinstance(each, Region) for each in (target if isinstance(target, tuple) else (target,)))


def own_frame(model: Model) -> Frame | Voxels:
    """Return where the positions of a model's output lie in the picture that it takes."""
    found = _frame(model, None)
    assert found is not None
    return found


def _frame(model: Model, sample: Sample | None) -> Frame | Voxels | None:
    if len(model.size) == 3:
        reader = None if sample is None else sample.mask_reader
        return Voxels(model.size, _assumed_even(model) if model.task.has_regions else "", reader)
    if sample is not None and sample.seen is not None:
        return placed_in(model, sample.seen.frame)
    return placed_in(model, Frame.whole(model.size)) if len(model.size) == 2 else None


def placed_in(model: Model, frame: Frame) -> Frame:
    """Return a frame that knows where the positions of the model's output lie in the picture that it takes."""
    if not model.task.has_regions:
        return frame
    found: Placement | None = model.program(("lies", model.task.logit), lambda: _lies(model))
    if found is None:
        return replace(frame, assumed=f"{ASSUMED} {model.task.logit!r}")
    rows, columns = (
        tuple((float(s.low), float(s.high), float(s.start), float(s.stop)) for s in side)
        for side in (found.rows, found.columns)
    )
    return replace(frame, rows=rows, columns=columns)


ASSUMED = (
    "the region is taken to lie as if the output covered the model's picture evenly: rows and columns of the picture "
    "are not followed through the graph to"
)


def _assumed_even(model: Model) -> str:
    """Return why it is not known that an output covers a volume evenly; empty where it does."""
    found: bool = model.program(("covers", model.task.logit), lambda: _covers(model))
    return "" if found else f"{ASSUMED_EVEN} {model.task.logit!r}"


ASSUMED_EVEN = (
    "the region is taken to lie as if the output covered the volume evenly: its axes are not followed through the "
    "graph to all of"
)


def _covers(model: Model) -> bool:
    return covers_all(model.anatomy.model.graph, model.anatomy.entry, model.task.logit)


def _lies(model: Model) -> Placement | None:
    return where_it_lies(model.anatomy.model.graph, model.anatomy.entry, model.task.logit)


def _program(target: Program) -> Target:
    if "score" not in target.outputs:
        raise UsageError(f"a target program has an output 'score' [B]; this one has {', '.join(target.outputs)}")
    if set(target.inputs) != {X}:
        raise UsageError(f"a target program takes {X!r} alone; this one takes {', '.join(target.inputs)}")
    return Target(None, "program", target if isinstance(target, Score) else Score(target.model))
