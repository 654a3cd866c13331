"""Sequences and arrays in an evaluation: which metrics judge their maps, and what numbers are exchanged for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from onnxsal.errors import EnvironmentSetupError, UsageError
from onnxsal.evaluation.judge import Judge
from onnxsal.metrics import registry
from onnxsal.metrics.baselines import OF_TEXTS
from onnxsal.metrics.registry import Metric
from onnxsal.modalities.registry import Usual
from onnxsal.modalities.table import Table
from onnxsal.model import Model

FILL = "zero"
"""What numbers are exchanged for where nothing else is asked for: what occlusion covers them with."""

_IN_PICTURES: Mapping[str, str] = {
    "mask": "asks where the object is in a picture",
    "boxes": "asks where the object is in a picture",
    "region": "asks for the region of a picture that is explained",
    "cell": "asks for mosaics of pictures",
}
"""What metrics need that other things do not have."""

_OF_NEIGHBOURS = ("road", "road-morf", "road-lerf")


_BY_DEGREES = "changes numbers by degrees, and a column is the row's or a background row's"

_IN_DEGREES: Mapping[str, str] = {
    **dict.fromkeys(("average-drop", "increase-in-confidence", "adcc", "infidelity"), _BY_DEGREES),
    "max-sensitivity": "asks for maps of things that differ by degrees",
    "randomisation": "asks for maps by models whose weights are drawn anew",
}
"""Metrics that do not judge rows of a table, and why."""


def judging(found: Judge, told: Mapping[str, Any], model: Model) -> Judge:
    """Return a metric as it judges what a model takes: where that is no picture, by default numbers go to ``FILL``.

    Args: told: the options that were given.
    Raises: UsageError: it is for pictures alone, or an option is.
    """
    if model.takes_images:
        return found
    if why := _why_not(found.metric, told) or _not_of_rows(found.metric, model):
        raise UsageError(
            f"metric {found.label!r} {why}, and {_takes(model)}; these judge such: {', '.join(_known(model))}"
        )
    is_open = "to" in found.options and "to" not in told
    return replace(found, options={**found.options, "to": _fill(model)}) if is_open else found


def _fill(model: Model) -> str:
    """Return what numbers are exchanged for: of texts the token that is usual for it, else ``FILL``."""
    usual = model.modality.usual(model.name, model.size) if isinstance(model.modality, Usual) else {}
    return str(usual["baseline"]) if usual.get("baseline") in OF_TEXTS else FILL


def _why_not(metric: Metric, told: Mapping[str, Any]) -> str:
    if metric.name in _OF_NEIGHBOURS:
        return "fills pixels in from those beside them"
    if told.get("to") == "blur":
        return "is to blur pictures (to=blur)"
    if told.get("change") == "square":
        return "is to change squares of pictures (change=square)"
    return next((_IN_PICTURES[need] for need in metric.needs if need in _IN_PICTURES), "")


def _not_of_rows(metric: Metric, model: Model) -> str:
    """Return why a metric does not judge rows of a table, whose columns are exchanged whole; empty where it does."""
    return _IN_DEGREES.get(metric.name, "") if isinstance(model.modality, Table) else ""


def _known(model: Model) -> list[str]:
    found = []
    for name in registry.names():
        with suppress(EnvironmentSetupError):  # a broken package hurts only who asks for it
            metric = registry.get(name)
            found += [] if _why_not(metric, {}) or _not_of_rows(metric, model) else [name]
    return found


def check_places(model: Model, **given: Any) -> None:
    """Raise UsageError where it is told where objects are in pictures, of a model that takes none."""
    told = [name for name, value in given.items() if value is not None]
    if told and not model.takes_images:
        raise UsageError(f"{' and '.join(told)} say where objects are in pictures, and {_takes(model)}")


def _takes(model: Model) -> str:
    return f"this model takes {model.modality.name} {model.size}"
