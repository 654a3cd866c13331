"""The manifest: what a map is made again from, and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxsal._version import __version__
from onnxsal.anatomy import Layer
from onnxsal.explanation.outcome import Outcome
from onnxsal.explanation.request import Request
from onnxsal.records import Record
from onnxsal.tasks import Target
from onnxsal.viz.maps import Sign


def manifest_of(request: Request, outcome: Outcome, goal: Target, sign: Sign | None) -> dict[str, Any]:
    from onnxsal.runtime.environment import onnxruntime
    from onnxsal.runtime.providers import described

    model = request.model
    prepared = model.preprocess or model.sound
    return {
        "method": request.steps.method.name, "paper": request.steps.method.paper,
        "options": request.steps.described(), "model": model.name, "model_sha256": model.digest,
        "layer": _names(request.layers), "target": goal.target, "label": goal.label, "score": request.score,
        "seed": request.seed, "batch_size": request.batch_size, "sign": sign,
        "percentile": request.common.percentile if sign else None,
        "preprocess": None if prepared is None else prepared.described(), **described(model.provider),
        "versions": {"onnxsal": __version__, "onnxruntime": onnxruntime().__version__, "numpy": np.__version__},
        "samples": outcome.samples, "forwards": outcome.forwards, "backwards": outcome.backwards,
        **goal.about, **outcome.about, **outcome.numbers, **_asked(request),
        **({"repeatable": False} if model.drawn else {}),
        **({"decided": {each.what: f"{each.value} ({each.why})" for each in model.decided}} if model.decided else {}),
    }  # fmt: skip


def _asked(request: Request) -> dict[str, Any]:
    """Return what else a map of several layers depends on, and the limits that end it at the same place again."""
    common = request.common
    limits = {"forwards": common.forwards, "tolerance": common.tolerance}
    given = {name: value for name, value in limits.items() if value is not None}
    asked: dict[str, Any] = {"limits": given} if given else {}
    if request.model.threads is not None:
        asked["threads"] = request.model.threads
    return asked | ({"fuse": common.fuse} if len(request.layers) > 1 else {})


def _names(layers: Sequence[Layer]) -> str | list[str] | None:
    if not layers:
        return None
    return layers[0].name if len(layers) == 1 else [layer.name for layer in layers]


def variant_of(record: Record) -> dict[str, Any]:
    """Return what a record says of itself, and what the one inside it does."""
    inner = variant_of(record.body) if isinstance(record.body, Record) else {}
    return inner | dict(record.notes)
