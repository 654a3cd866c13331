"""Whether a compiled file may promise a free batch, and the model for a file that may not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import COEFFICIENTS, X
from onnxsal.anatomy.select import entered
from onnxsal.errors import ModelError, OutOfMemoryError, UnsupportedError
from onnxsal.graph import Program, dims
from onnxsal.graph.batch import fixed_batch, set_size
from onnxsal.modalities.nouns import nouns_of, spoken
from onnxsal.model import Model
from onnxsal.model.batch_check import DRAWN, MIXES, OPEN, one_by_one, probes
from onnxsal.records import Record
from onnxsal.runtime import Session
from onnxsal.runtime.together import hold
from onnxsal.tasks import Wanted, dissect

Floats = NDArray[np.float32]
Feeds = Mapping[str, NDArray[Any]]

_ONE = "the compiled file takes one picture at a time (batch 1)"
UNASKED = (
    "whether pictures that are run together change each other's scores could not be asked, for the model does not run "
    "here: the compiled file takes several at a time all the same"
)
_OUTPUTS = "an output of the model has no row a picture"
_SCALES = (1.0, 30.0, 1 / 30)
"""Of the pictures that are made up, in turn until one tells something: a scale may saturate a model."""


def alone_in_file(model: Model, parts: Sequence[Program | Record]) -> str | None:
    """Return why a compiled file has to take one picture at a time, or None where batches of any size are right.

    Asked by running the scores, the explanation's own programs, and all outputs where the batch was made free here,
    on a picture that is made up and altered copies of it.
    """
    if fixed_batch(model.anatomy.model, model.anatomy.entry.input) is not None:
        return None
    why, x = _scores_alone(model)
    if why is None and not _rows_follow(model, x):
        why = _OUTPUTS
    if why is None and not all(_holds(model, program, x) for program in _programs(parts)):
        why = MIXES
    return None if why is None else spoken(f"{why.partition(':')[0]}: {_ONE}", nouns_of(model.modality.name))


def for_one(model: Model, why: str) -> Model:
    """Return the model with its batch fixed to one, and what is to be said of it."""
    fixed = set_size(model.anatomy.model, model.anatomy.entry.input, {0: 1})
    anatomy = dissect(fixed, model.modality.find_entry(fixed.graph), Wanted.same(model.task))
    return replace(model, anatomy=anatomy, notes=(*model.notes, why))


def check_batch(model: Model, count: int) -> None:
    """Raises: UnsupportedError: the model takes another number of things at a time, and only that."""
    entry = model.anatomy.entry
    own = 1 if entry.one_by_one else fixed_batch(model.anatomy.model, entry.input)
    if own not in (None, count):
        why = next((f" ({note})" for note in reversed(model.notes) if "(batch 1)" in note), "")
        raise UnsupportedError(f"batch={count}: the file takes {own} at a time{why}: choose {own}, or leave it out")


def _scores_alone(model: Model) -> tuple[str | None, Floats]:
    """Return why scores are those of pictures alone only, and a picture on which it was seen.

    A model that gives the same whatever goes in has nothing to mix.
    """
    x = _made_up(model, 1.0)
    for scale in _SCALES:
        x = _made_up(model, scale)
        why = one_by_one(model, x)
        if why != OPEN:
            return ("what it draws is drawn for a whole batch" if why == DRAWN else why), x
    return None, x


def _made_up(model: Model, scale: float) -> Floats:
    """Return a thing of large and small parts, [C, *S], about as far from 0 as the model's black is."""
    shape, rng = (model.anatomy.entry.channels, *model.size), np.random.default_rng(0)
    cells = [7 if len(model.size) <= 2 else min(7, n) for n in model.size]
    coarse = rng.normal(0, 1, (shape[0], *cells))
    for axis, (n, own) in enumerate(zip(cells, model.size, strict=True), 1):
        coarse = coarse.repeat(-(-own // n), axis=axis).take(range(own), axis=axis)
    size = float(np.abs(model.black()).max()) or 1.0
    return np.asarray(scale * size * 0.7 * (coarse + rng.normal(0, 0.2, shape)), np.float32)


def _rows_follow(model: Model, x: Floats) -> bool:
    """Whether every output has a row a picture, where it is this program that made the batch free."""
    graph, entry = model.source.graph, model.anatomy.entry
    own = next((v for v in graph.inputs if v.name == entry.input), None)
    if own is None or entry.one_by_one or len(graph.outputs) < 2:
        return True
    if (dims(own) or (None,))[entry.input_axes.index("N")] != 1:
        return True
    return _holds(model, entered(model.anatomy), x)


def _programs(parts: Sequence[Program | Record]) -> Iterator[Program]:
    """Yield what is run on several pictures; of draws those that vary the picture itself."""
    for part in parts:
        if not isinstance(part, Record):
            yield part
            continue
        if part.head is not None:
            yield part.head
        if isinstance(part.body, Program) and part.varies == "x":
            yield part.body


def _holds(model: Model, program: Program, x: Floats) -> bool:
    """Whether a program gives for several pictures what it gives for each alone."""
    session = model.session(program)
    if not isinstance(session, Session):  # it picks from the scores
        return True
    several = probes(x, model.black())
    given: Feeds = {X: several, **model.task.any_target(len(several), weighted=COEFFICIENTS in session.inputs)}
    feeds = {name: given[name] for name in session.inputs if name in given}
    try:
        together = session.run(feeds)
        hold(session, feeds, together, range(len(several)))
    except OutOfMemoryError:
        raise
    except ModelError:
        return False
    return session.verdict in ("free", None)
