"""Targets as they were asked for: one of them may stand for several, which are told apart by number then."""

from __future__ import annotations

from collections.abc import Sequence

from onnxsal.tasks.detection.task import ALL


def numbered(goals: Sequence[str | None], found: int) -> tuple[str | None, ...]:
    """Return the target of each explanation; one that stands for several is numbered."""
    more = found - len(goals)
    several = [at for at, goal in enumerate(goals) if (goal or "").strip() == ALL]
    if not several:
        return tuple(goals)
    at = several[0]
    return (*goals[:at], *(f"{ALL}-{k}" for k in range(1, more + 2)), *goals[at + 1 :])
