"""The scores that metrics ask for: batched, of one class, by the model's one inference session."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import X, body
from onnxsal.anatomy.select import LOGITS, PROBABILITIES
from onnxsal.errors import ModelError
from onnxsal.model import Model
from onnxsal.model.batch_check import one_by_one
from onnxsal.tasks import Target, one

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Score = Callable[[Floats], Doubles]

PROBABILITY, LOGIT = PROBABILITIES, LOGITS


def scorer(model: Model, target: int | Target, batch_size: int, output: str = PROBABILITY) -> Score:
    """Return the function from pictures [N, C, H, W] to the probability (or logit) of a class or a target, [N].

    Of a score that somebody wrote it is that. It raises ModelError where the model's score is NaN or infinite: a fault
    of this model on these pictures, which ends nothing but what asked for it.
    """
    goal = one(target, "") if isinstance(target, int) else target
    own = goal.program
    session = model.session(own or model.program("body", lambda: body(model.anatomy)))
    name = "score" if own is not None else output

    def run(x: Floats) -> Floats:
        found: Floats = session.run({X: x}, [name])[name]
        return found if own is not None else goal.values(found)

    return _batched(model, run, batch_size)


def scorer_of(model: Model, target: Target, kind: str, batch_size: int) -> Score:
    """Return the same of a kind of score: one that is no column of the numbers is worked out in every picture anew."""
    if target.program is not None or (target.kind is None and kind in model.task.kinds):
        return scorer(model, target, batch_size, model.task.kinds.get(kind, PROBABILITY))
    goal = model.task.aimed(target, kind)
    session = model.session(model.score(kind, goal))

    def run(x: Floats) -> Floats:
        fed = {name: np.repeat(value, len(x), axis=0) for name, value in goal.feeds.items()}
        found: Floats = session.run({X: x, **fed})["score"]
        return found

    return _batched(model, run, batch_size)


def _batched(model: Model, run: Callable[[Floats], Floats], batch_size: int) -> Score:
    def score(images: Floats) -> Doubles:
        several = min(batch_size, len(images)) > 1
        size = 1 if several and one_by_one(model, images[0]) is not None else batch_size
        spans = range(0, len(images), size)
        parts = [run(images[at : at + size]) for at in spans]
        found = np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)
        wrong = len(found) - int(np.isfinite(found).sum())
        if wrong:
            raise ModelError(f"the model's score is NaN or infinite on {wrong} of {len(found)} changed pictures")
        return found

    return score
