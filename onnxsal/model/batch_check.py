"""Whether a model's batch may be believed, asked by running it once, before several pictures first go through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import X, body
from onnxsal.errors import ModelError, OutOfMemoryError
from onnxsal.modalities.nouns import nouns_of, spoken
from onnxsal.model.model import Model
from onnxsal.records import spread
from onnxsal.runtime import Session
from onnxsal.runtime.together import hold

Floats = NDArray[np.float32]

MIXES = "pictures that are run together change each other's scores in this model: they are run one by one"
DRAWS = (
    "two runs of the same picture give different scores: something in the model draws random numbers, and no map can "
    "be made again. Pictures are run one by one, for a batch cannot be compared with them"
)
DRAWN = "pictures are run one by one: where every run gives other scores, a batch cannot be compared with them"
OPEN = (
    "whether pictures that are run together change each other's scores could not be told, for this picture and altered "
    "copies of it all give the same: they are run one by one"
)

_NOTES: Mapping[str | None, str | None] = {"free": None, "mixes": MIXES, "draws": DRAWS, None: OPEN}

PROBES = 3
"""Pictures that are run alone and together."""


def one_by_one(model: Model, x: Floats) -> str | None:
    """Return why pictures like x [C, H, W] have to go through a model one by one, or None where a batch is right.

    Asked once a model: ``PROBES`` pictures alone and together, twice as many forwards in all. Their scores agree to
    ``runtime.together.ROUNDING`` of their span, or the model's session runs row by row from then on.
    """
    session = cast(Session, model.session(model.program("body", lambda: body(model.anatomy))))
    if model.drawn:
        session.single = True
        return DRAWN
    if session.verdict is None:
        _ask(session, {X: probes(x, model.black())}, list(model.task.kinds.values()))
    return _NOTES[session.verdict]


def found_of(model: Model) -> tuple[str, ...]:
    """Return what is to be said of a model's batch after it was used; nothing where it is right, or was not asked."""
    verdict = model.batch_verdict
    note = None if verdict is None else _NOTES[verdict]
    return () if note is None else (spoken(note, nouns_of(model.modality.name)),)


def _ask(session: Session, feeds: Mapping[str, Floats], names: list[str]) -> None:
    try:
        together = session.run(feeds, names)
    except OutOfMemoryError:
        raise
    except ModelError:  # it takes no batch at all, whatever its axis promises
        session.rows.settle("mixes")
        return
    hold(session, feeds, together, range(PROBES))


def probes(x: Floats, black: Floats) -> Floats:
    """Return a picture and two altered copies, [3, C, *S]: faint and half of it gone, and upside down under noise.

    Masks, steps of a path and noise alter pictures so; their ranges differ by more than ten times, for what takes its
    scale from the whole batch.
    """
    base = spread(black, x.shape)
    faint = base + 0.1 * (x - base)
    half = slice(faint.shape[-1] // 2)
    faint[..., half] = base[..., half]
    noise = np.random.default_rng(0).normal(0, 0.2 * (float(np.ptp(x)) or 1.0), x.shape)
    return np.stack([x, faint, x[:, ::-1] + noise]).astype(np.float32)
