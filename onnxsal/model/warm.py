"""What the first explanation of a method costs once, paid before the first request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import stem
from onnxsal.errors import UsageError
from onnxsal.graph import dims
from onnxsal.model.model import Model


@dataclass(frozen=True)
class Warmed:
    """A method that is ready, how many sessions were opened for it (those that others had opened not), and seconds."""

    method: str
    sessions: int
    seconds: float


def warm(model: Model, methods: str | Sequence[str], options: dict[str, Any]) -> tuple[Warmed, ...]:
    """Return what was done for each method: it explains noise, and stops after the first batch if it may."""
    names = [methods] if isinstance(methods, str) else list(methods)
    return tuple(_warmed(model, name, options) for name in names)


def _warmed(model: Model, method: str, options: dict[str, Any]) -> Warmed:
    before, started = model.opened, time.perf_counter()
    try:
        _explained(model, method, {"seconds": 0} | options)
    except UsageError:  # a path is run whole or not at all; what else is wrong is raised again
        _explained(model, method, options)
    return Warmed(method, model.opened - before, round(time.perf_counter() - started, 4))


def _explained(model: Model, method: str, options: dict[str, Any]) -> None:
    from onnxsal.explanation.explain import explain  # the methods are loaded only for who asks

    explain(model, _noise(model), method=method, **({"target": 0} | options))


def _noise(model: Model) -> NDArray[np.float32]:
    """Return noise shaped like the model's input: on a picture of one colour maps are empty, which asks for more."""
    entry = model.anatomy.entry
    taken = model.program("stem", lambda: stem(model.anatomy)).inputs[entry.input]
    shape = [size if isinstance(size, int) else 1 for size in dims(taken) or ()]
    found = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    return found if entry.is_raw else found / np.float32(255)
