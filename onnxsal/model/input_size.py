"""The size of what a model takes, where its file leaves it open: as asked for, as somebody says it, or as it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import Entry
from onnxsal.decisions import Decision
from onnxsal.errors import ModelError, UsageError
from onnxsal.graph import Program, dims
from onnxsal.graph.batch import set_size
from onnxsal.modalities.registry import BY_CHUNKS, LAST, Modality, Sizing, StatedSize
from onnxsal.model.asked import Asked
from onnxsal.model.batch_axis import Running
from onnxsal.options import is_count
from onnxsal.runtime import Session

Sizes = Mapping[str, int]

ASSUMED = "nothing says it, this is the usual one"
"""Why a model was opened for the usual size."""

_TRIED = (224, 256, 384, 512, 320, 288, 448, 640, 192, 160, 128, 96, 64, 48, 32, 299, 28)
"""Sides that are tried in this order where nothing says one and the usual one does not run."""


@dataclass(frozen=True)
class Known:
    """What there is to go by beside the graph: what was asked for, the file's name and metadata, how it is run."""

    asked: Asked
    name: str
    metadata: Mapping[str, str]
    running: Running


@dataclass(frozen=True)
class Sized:
    """A model whose sizes are fixed, and what is to be told of that."""

    model: ir.Model
    decided: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()
    any_size: bool = False
    """Whether the graph brings things of any size to one of its own."""


def asked_sizes(given: Any, modality: Modality, entry: Entry) -> Sizes | None:
    """Return the sizes that were asked for by the letters of their axes. Raises: UsageError: they are no such sizes."""
    if given is None:
        return None
    several = [given] if is_count(given) else list(given) if isinstance(given, (tuple, list)) else []
    if len(several) != len(entry.spatial) or not all(map(is_count, several)):
        expected = " and ".join(f"{letter}" for letter in entry.spatial)
        raise UsageError(
            f"size={given!r}: expected whole numbers from 1 on for {expected} of the model's {modality.name}"
        )
    return dict(zip(entry.spatial, map(int, several), strict=True))


def axes_open(model: ir.Model, entry: Entry) -> tuple[bool, ...]:
    """Return of which positions the file leaves the size open."""
    shape = dims(next(v for v in model.graph.inputs if v.name == entry.input)) or ()
    sizes = dict(zip(entry.input_axes, shape, strict=True))
    return tuple(not isinstance(sizes.get(letter, 1), int) for letter in entry.spatial)


def with_size(model: ir.Model, modality: Modality, entry: Entry, known: Known) -> Sized:
    """Fix the sizes that the model leaves open, since rules and layers want to know them; say where one was assumed.

    What was asked for counts first, then what the file or a neighbour says, then the usual size, or the first at which
    the model runs.

    Raises: UsageError: another size was asked for than the file has and it does not run at that, or two that say the
    size disagree. ModelError: it does not run at the size that is said, or at none.
    """
    model = _with_channels(model, entry)
    opening = _Opening.of(model, modality, entry, known.running)
    asked = asked_sizes(known.asked.size, modality, entry)
    if asked is not None:
        return _asked(opening, asked)
    if not opening.open:
        return Sized(model)
    at = modality.resizes(model, entry) if isinstance(modality, Sizing) else None
    if at is not None:
        why = f"the graph resizes it itself, at {at}"
        usual = opening.made({letter: modality.default_size[letter] for letter in opening.open})
        return Sized(usual, (Decision("size", "each picture's own", why),), any_size=True)
    stated = stated_sizes(modality, known)
    return _stated(opening, stated) if stated else _assumed(opening, modality, known)


def _with_channels(model: ir.Model, entry: Entry) -> ir.Model:
    """Fix how many channels go in where the file leaves that open, as exporters do that name every axis: rows and
    columns are followed through values of known sizes."""
    shape, at = dims(next(v for v in model.graph.inputs if v.name == entry.input)), entry.input_axes.find("C")
    if shape is None or at < 0 or isinstance(shape[at], int):
        return model
    try:
        return set_size(model, entry.input, {at: entry.channels})
    except ModelError:  # it takes another number than is usual, which running it says
        return model


def stated_sizes(modality: Modality, known: Known) -> tuple[StatedSize, ...]:
    """Return who says a size of the model's things. Raises: UsageError: a file that may say it cannot be read."""
    if not isinstance(modality, Sizing):
        return ()
    return modality.stated_sizes(known.asked.preprocess, known.name or "model.onnx", known.metadata)


def is_assumed(decided: Sequence[Decision]) -> bool:
    """Return whether a model was opened for the usual size, since nothing says its own."""
    return any(each.what == "size" and each.why == ASSUMED for each in decided)


def said(sizes: Sizes) -> str:
    """Return sizes as messages name them: ``H 48, W 192``."""
    return ", ".join(f"{letter} {size}" for letter, size in sizes.items())


@dataclass(frozen=True)
class _Opening:
    """A model in normal form, and which sizes of its input are fixed and which are open."""

    model: ir.Model
    entry: Entry
    fixed: Sizes
    open: tuple[str, ...]
    running: Running

    @classmethod
    def of(cls, model: ir.Model, modality: Modality, entry: Entry, running: Running) -> _Opening:
        taken = next(v for v in model.graph.inputs if v.name == entry.input)
        shape = dict(zip(entry.input_axes, dims(taken) or (), strict=True))
        letters = [letter for letter in modality.default_size if letter in shape]
        fixed = {a: n for a in letters if isinstance(n := shape[a], int)}
        return cls(model, entry, fixed, tuple(a for a in letters if a not in fixed), running)

    @property
    def option(self) -> str:
        """What settles the size, as messages name it."""
        sides = {"HW": "H W"}.get(self.entry.spatial, "N" if len(self.entry.spatial) == 1 else "")
        return f"--size {sides} (size=)" if sides else "size="

    def made(self, sizes: Sizes) -> ir.Model:
        """Return the model with these sizes of its input. Raises: ModelError: its shapes contradict each other then."""
        at = {self.entry.input_axes.index(letter): size for letter, size in sizes.items()}
        return set_size(self.model, self.entry.input, at)

    def by_rows(self) -> list[str]:
        """Return the outputs that have a row for each thing, as the file declares them."""
        graph = self.model.graph
        batch = next((dims(v) or (None,))[0] for v in graph.inputs if v.name == self.entry.input)
        return [str(v.name) for v in graph.outputs if batch is not None and (dims(v) or (None,))[0] == batch]

    def whole(self, sizes: Sizes) -> Sizes:
        """Return all sizes in the order of the axes: these, and those that the file fixes."""
        known = {**sizes, **{a: n for a, n in self.fixed.items() if a not in sizes}}
        return {letter: known[letter] for letter in self.entry.spatial if letter in known}


def _asked(opening: _Opening, asked: Sizes) -> Sized:
    decided = (Decision("size", said(asked), "asked for"),)
    against = {letter: n for letter, n in opening.fixed.items() if asked[letter] != n}
    if not against:
        sizes = {letter: asked[letter] for letter in opening.open}
        try:
            return Sized(opening.made(sizes) if sizes else opening.model, decided)
        except ModelError as error:  # of the size alone: the file is valid without one
            why = str(error).removeprefix("the model is not valid: ")
            raise ModelError(
                f"size={tuple(asked.values())}: the model does not run at {said(asked)}: {why}; {opening.option} "
                "names another (many models take multiples of 32 alone)"
            ) from None
    try:
        made = opening.made(asked)
        _run(made, opening)
    except ModelError as error:
        raise UsageError(
            f"size={tuple(asked.values())}: the file fixes {said(against)} of {opening.entry.input!r}, and it does not "
            f"run at {said(asked)}: {error}"
        ) from None
    note = (
        f"the file declares {said(opening.fixed)} of {opening.entry.input!r}: it was opened for {said(asked)} as asked "
        "(verified by running)"
    )
    return Sized(made, decided, (note,))


def _stated(opening: _Opening, stated: tuple[StatedSize, ...]) -> Sized:
    first = stated[0]
    for other in stated[1:]:
        if dict(other.sizes) != dict(first.sizes):
            raise _disagree(opening, first, other)
    if any(first.sizes[letter] != n for letter, n in opening.fixed.items()):
        raise _disagree(opening, first, StatedSize(opening.fixed, f"the shape of {opening.entry.input!r}"))
    sizes = {letter: first.sizes[letter] for letter in opening.open}
    try:
        made = opening.made(sizes)
    except ModelError as error:
        raise ModelError(
            f"the model does not run at {said(first.sizes)}, which {first.where} says: {error}; {opening.option} "
            "opens it for another size"
        ) from None
    if first.note:
        note = f"{first.note}; {opening.option} opens the model for another size"
        return Sized(made, (Decision("size", said(first.sizes), first.note),), (note,))
    return Sized(made, (Decision("size", said(first.sizes), f"{first.where} says so"),))


def _disagree(opening: _Opening, one: StatedSize, other: StatedSize) -> UsageError:
    return UsageError(
        f"{one.where} says the size {said(one.sizes)}, and {other.where} says {said(other.sizes)}: "
        f"{opening.option} settles it"
    )


def _assumed(opening: _Opening, modality: Modality, known: Known) -> Sized:
    """Return the model at the usual size where it runs, else at the first of some at which it does."""
    failed: dict[str, str] = {}
    for sizes in _candidates(opening, modality, known):
        try:
            made = opening.made(sizes)
            if not _settled(made):
                _run(made, opening)
        except ModelError as error:
            failed[said(opening.whole(sizes))] = str(error)
            continue
        return _at_first(opening, made, opening.whole(sizes), failed, says=modality.says_size)
    usual, why = next(iter(failed.items()))
    of_time = len(opening.entry.spatial) == 1 and modality.name in ("audio", "sequence", LAST)
    chunks = f"; {BY_CHUNKS}" if of_time else ""
    raise ModelError(
        f"the file leaves the size of {opening.entry.input!r} open, and runs at none that was tried "
        f"({'; '.join(failed)}), at {usual}: {why}; {opening.option} names its own{chunks}"
    )


def _at_first(opening: _Opening, made: ir.Model, sizes: Sizes, failed: Mapping[str, str], *, says: bool) -> Sized:
    """Return the model at the size at which it was found to run, and what is to be said of that."""
    name = opening.entry.input
    if failed:
        usual, why = next(iter(failed.items()))
        reason = f"it does not run at {usual} ({why}), and does at this"
        note = f"the file leaves the size of {name!r} open: it was opened for {said(sizes)}, since {reason}"
    else:
        reason = ASSUMED
        note = f"the file leaves the size of {name!r} open and nothing says it: it was opened for {said(sizes)}"
    told = (f"{note}; {opening.option} opens it for another",) if says else ()
    return Sized(made, (Decision("size", said(sizes), reason),), told)


def _candidates(opening: _Opening, modality: Modality, known: Known) -> Iterator[Sizes]:
    """Yield the usual size, then sides that are tried in its place; multiples of what the file calls its stride."""
    stride = modality.stated_stride(known.metadata) if isinstance(modality, Sizing) else 1
    usual = {letter: _up(modality.default_size[letter], stride) for letter in opening.open}
    yield usual
    for side in dict.fromkeys(_up(each, stride) for each in _TRIED):
        if (sizes := dict.fromkeys(opening.open, side)) != usual:
            yield sizes


def _up(side: int, stride: int) -> int:
    return -(-side // stride) * stride


def _settled(model: ir.Model) -> bool:
    """Whether every shape is known, so that they were proved to fit together."""
    return all(None not in (dims(v) or (None,)) for node in model.graph for v in node.outputs)


def _run(model: ir.Model, opening: _Opening) -> None:
    """Run a model once on noise. Raises: ModelError: it cannot be run, or puts out rows of more than it was given."""
    running = opening.running
    session = Session(Program(model), provider=running.provider, threads=running.threads, custom_ops=running.custom_ops)
    rng = np.random.default_rng(0)
    shapes = {str(v.name): [d if isinstance(d, int) else 1 for d in dims(v) or ()] for v in model.graph.inputs}
    found = session.run({name: rng.uniform(0, 1, shape) for name, shape in shapes.items()})
    rows = shapes[opening.entry.input][0]
    for name in opening.by_rows():
        if len(found[name]) != rows:
            raise ModelError(f"output {name!r} has {len(found[name])} rows of {rows} given")
