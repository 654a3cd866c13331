"""Limits of what an explanation may take: what each of its runs gets of what is left."""

from __future__ import annotations

import time
from dataclasses import replace

from onnxsal.explanation.method_plan import Common
from onnxsal.explanation.request import Request


def share_of_limits(common: Common, runs: int, *, spent: int, since: float) -> Common:
    """Return the options with an even share of what is left of the limits for each of the ``runs`` to go.

    Args: spent: forwards so far. since: the moment that ``seconds`` count from.
    """
    forwards = None if common.forwards is None else (common.forwards - spent) // runs
    return replace(common, forwards=forwards, seconds=seconds_left(common, runs, since=since))


def seconds_left(common: Common, runs: int, *, since: float) -> float | None:
    """Return an even share of what is left of ``seconds`` for each of the ``runs`` to go."""
    return None if common.seconds is None else max(common.seconds - (time.perf_counter() - since), 0.0) / runs


def unused_limits(request: Request) -> tuple[str, ...]:
    limits = ("forwards", "seconds", "tolerance")
    given = [name for name in limits if getattr(request.common, name) is not None]
    return (f"{', '.join(given)}: no effect, {request.steps.method.name} runs the model once",) if given else ()
