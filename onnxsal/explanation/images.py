"""Explaining several pictures: together where one run of the model gives each what it gives alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.forward import Forward, forward, forwards, key_of, runs_once, together
from onnxsal.explanation.request import Request
from onnxsal.explanation.run import by_request, explain_goals, explain_prepared, goals_of
from onnxsal.explanation.target import TargetSource
from onnxsal.model import Sample
from onnxsal.runtime.nvidia import ON_GPU
from onnxsal.runtime.providers import full_name
from onnxsal.runtime.together import ROUNDING
from onnxsal.tasks import Target


def images_at_once(request: Request) -> int:
    """Return how many pictures are worth running together: on a processor one, unless a batch is asked for."""
    asked, on_gpu = request.common.batch_size, full_name(request.model.provider) in ON_GPU
    return request.batch_size if runs_once(request) and (asked is not None or on_gpu) else 1


def explain_read(reads: Sequence[tuple[Request, Sample]], targets: Sequence[TargetSource]) -> list[list[Explanation]]:
    """Return the explanations of each of several pictures; they are run together where that gives the same.

    Args: reads: of every picture the request on the model opened for it, and what that model takes.
    """
    alike = len(reads) > 1 and len({(id(own.model), sample.x.shape) for own, sample in reads}) == 1
    found = _explained_together(reads[0][0], [sample for _, sample in reads], targets) if alike else None
    return [explain_prepared(*read, targets) for read in reads] if found is None else found


def _explained_together(
    request: Request, samples: Sequence[Sample], targets: Sequence[TargetSource]
) -> list[list[Explanation]] | None:
    """Return the explanations of pictures that are run together; None where they have to be run one by one."""
    (own, several), *others = by_request(request, targets)
    seen = None if others else forwards(own, samples)
    if seen is None:
        return None
    goals = [goals_of(own, each, several) for each in seen]
    served = all(each.serves(own.model, own.score, goal) for each, row in zip(seen, goals, strict=True) for goal in row)
    if not served or not goals[0] or len({len(row) for row in goals}) != 1:
        return None
    for column in zip(*goals, strict=True):
        seen = together(own, seen, column)
    if not own.model.program(("together", len(seen), *key_of(own)), lambda: _as_alone(own, seen[-1], goals[-1][0])):
        return None
    return [
        [found for goal in row for found in explain_goals(own, each.sample, [goal], each)]
        for each, row in zip(seen, goals, strict=True)
    ]


def _as_alone(request: Request, seen: Forward, goal: Target) -> bool:
    """Return whether the maps of a picture that was run with others are those that it has alone, but for rounding."""
    alone = forward(request, seen.sample, seen.numbers).maps(request, goal)
    return all(
        np.abs(one - other).max(initial=0.0) <= ROUNDING * np.ptp(other)
        for one, other in zip(seen.maps(request, goal), alone, strict=True)
    )
