"""How long a model's passes take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import X, body
from onnxsal.errors import UnsupportedError
from onnxsal.explanation.build import build, choose_layer
from onnxsal.explanation.method_plan import plan
from onnxsal.model import Model
from onnxsal.records import Record

Floats = NDArray[np.float32]

_BATCH, _RUNS = 4, 3


@dataclass(frozen=True)
class Rates:
    """Seconds an image: forward, and what a gradient adds; None where the model has none."""

    forward: float
    to_pixels: float | None
    to_layer: float | None
    """The gradient at the automatic layer, which is what class activation maps need."""


def measure(model: Model) -> Rates:
    """Return the seconds that passes take, an image each, in batches."""
    shape = (_BATCH, model.anatomy.entry.channels, *model.size)
    x = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    session = model.session(model.program("body", lambda: body(model.anatomy)))
    # Row by row, what is found may be more of one picture than of another: outputs that no array holds together.
    x = x[:1] if session.single else x
    forward = _fastest(lambda: session.run({X: x})) / len(x)
    return Rates(forward, *(_more(model, name, x, forward) for name in ("gradient", "hirescam")))


def _more(model: Model, method: str, x: Floats, forward: float) -> float | None:
    """Return what a method of one pass takes beyond the forward, or None where it cannot be built."""
    steps = plan(method, {})
    try:
        layer = choose_layer(model, steps, None) if steps.needs_layer else None
        built = build(model, steps, layer=layer, score=model.score(model.task.kind("logit")))
    except UnsupportedError:
        return None
    assert not isinstance(built, Record)
    session, task = model.session(built), model.task
    feeds = {X: x, **task.any_target(len(x), weighted=task.weighted)}
    whole = _fastest(lambda: session.run(feeds)) / len(x)
    return max(whole - forward, 0.0)


def _fastest(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)
