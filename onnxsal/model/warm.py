"""What the first explanation of a method costs once, paid before the first request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import stem
from onnxsal.errors import UsageError
from onnxsal.graph import dims
from onnxsal.model.model import Model, Warmed

_ASKED: dict[str, Any] = {"layer": None, "score": None, "seed": 0, "preprocess": None}
"""What ``explain`` takes beside a method's options, with its defaults."""


def warm(model: Model, methods: str | Sequence[str], options: dict[str, Any]) -> tuple[Warmed, ...]:
    """Return what was done for each method: it explains noise, and stops after the first batch if it may."""
    names = [methods] if isinstance(methods, str) else list(methods)
    return tuple(_warmed(model, name, options) for name in names)


def _warmed(model: Model, method: str, options: dict[str, Any]) -> Warmed:
    before, started = model.opened, time.perf_counter()
    try:
        _explained(model, method, {"seconds": 0} | options)
    except UsageError:  # a path is run whole or not at all; what else is wrong is raised again
        _explained(model, method, dict(options))
    return Warmed(method, model.opened - before, round(time.perf_counter() - started, 4))


def _explained(model: Model, method: str, options: dict[str, Any]) -> None:
    from onnxsal.explanation.method_plan import plan, split_options  # the methods are loaded only for who asks
    from onnxsal.explanation.request import prepare_request
    from onnxsal.explanation.run import explain_image
    from onnxsal.explanation.shapley.explain import Options
    from onnxsal.explanation.tables import explain_table, is_of_rows, steps_of

    asked = {name: options.pop(name, default) for name, default in _ASKED.items()}
    target = options.pop("target", 0)
    common, own = split_options(options)
    if is_of_rows(model, method):
        explain_table(
            model, _rows(model), target, Options(steps_of(method, own), common, asked["score"], asked["seed"])
        )
        return
    request = prepare_request(model, plan(method, own), common=common, **asked)
    explain_image(request, _noise(model), target if isinstance(target, list) else [target])


def _rows(model: Model) -> list[dict[str, Any]]:
    """Return two rows of what the columns may hold; they are the background too, where none is given."""
    from onnxsal.model.table import as_table, table_in

    columns = table_in(as_table(model)).columns

    def row(at: float) -> dict[str, Any]:
        return {each.name: next(iter(each.known), "") if each.kind == "text" else at for each in columns}

    return [row(0.0), row(1.0)]


def _noise(model: Model) -> NDArray[np.float32]:
    """Return noise shaped like the model's input: on a picture of one colour maps are empty, which asks for more."""
    entry = model.anatomy.entry
    taken = model.program("stem", lambda: stem(model.anatomy)).inputs[entry.input]
    shape = [size if isinstance(size, int) else 1 for size in dims(taken) or ()]
    found = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    return found if entry.is_raw else found / np.float32(255)
