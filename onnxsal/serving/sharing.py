"""How a machine is shared between requests, and how models are called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from onnxsal.errors import UsageError

_MOST_WORKERS = 4
"""Explanations at a time, unless told otherwise: each holds what one run takes."""


def threads_and_workers(threads: int | None, workers: int | None) -> tuple[int, int]:
    """Return how many threads one run takes and how many explanations run at a time, their product the processors."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers is None:
        workers = max(1, min(_MOST_WORKERS, processors // (threads or 1)))
    return threads or max(1, processors // workers), workers


def named(models: Sequence[str]) -> dict[str, str]:
    """Return paths by names: of ``NAME=PATH``, else the file's without its ending.

    Raises: UsageError: a name is twice there, or none that an address can have.
    """
    found = dict[str, str]()
    for each in models:
        name, equals, path = each.partition("=")
        if not equals or os.path.exists(each):
            name, path = Path(each).stem, each
        if name in found:
            raise UsageError(f"{found[name]!r} and {path!r} would both be called {name!r}: name one, NAME=PATH")
        if not name or name in {".", ".."} or any(sign in "/\\:?#%" or not sign.isprintable() for sign in name):
            raise UsageError(f"{name!r} is no name for a model behind an address: give it one, NAME={path}")
        found[name] = path
    return found
