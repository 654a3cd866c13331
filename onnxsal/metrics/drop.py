"""Average drop and increase in confidence: the score of the picture seen through the map."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from onnxsal.kernels.rank import rank
from onnxsal.metrics.baselines import Baseline, make_baseline, seen_through, stretched
from onnxsal.metrics.judgement import Doubles, Floats, Score
from onnxsal.metrics.registry import metric
from onnxsal.metrics.scoring import scores
from onnxsal.options import Range

Share = Annotated[float, Range(0, 1)]

_PAPER = "Chattopadhay et al. 2018, arXiv:1710.11063"


@metric(
    "average-drop",
    paper=_PAPER,
    when="maps that let the score's evidence through; the mean over pictures is the paper's number",
    higher_is_better=False,
    batched=True,
    ends=(0, 1),
)
def average_drop(
    score: Score, x: Floats, saliency: Doubles, baseline: Floats | None = None, *, to: Baseline = "black"
) -> Doubles:
    """Return max(0, Y - O) / Y, [0, 1]: Y the score, O that of the picture seen through the stretched map.

    A flat map gives NaN. ``to`` is what shows where the map is 0.
    """
    before, after = through(score, x, saliency, make_baseline(to, x, baseline))
    return relative_drop(before, after)


@metric(
    "increase-in-confidence",
    paper=_PAPER,
    when="maps that leave only what disturbs out of sight; the mean over pictures is the share that rose",
    batched=True,
    ends=(0, 1),
)
def increase_in_confidence(
    score: Score, x: Floats, saliency: Doubles, baseline: Floats | None = None, *, to: Baseline = "black"
) -> Doubles:
    """Return 1 where O > Y, else 0, as in average-drop; NaN for a flat map."""
    before, after = through(score, x, saliency, make_baseline(to, x, baseline))
    return risen(before, after)


@metric(
    "average-drop-top",
    paper=f"{_PAPER}; the highest half is kept, as in arXiv:1910.01279",
    when="maps that rank the evidence into the highest half of the pixels",
    higher_is_better=False,
    batched=True,
    ends=(0, 1),
)
def average_drop_top(
    score: Score,
    x: Floats,
    saliency: Doubles,
    baseline: Floats | None = None,
    *,
    keep: Share = 0.5,
    to: Baseline = "black",
) -> Doubles:
    """Return max(0, Y - O) / Y, [0, 1], O the score of the picture's ``keep`` highest pixels; NaN for a flat map."""
    before, after = kept(score, x, saliency, make_baseline(to, x, baseline), keep)
    return relative_drop(before, after)


@metric(
    "increase-in-confidence-top",
    paper=f"{_PAPER}; the highest half is kept, as in arXiv:1910.01279",
    when="maps whose highest half of the pixels scores more than the whole",
    batched=True,
    ends=(0, 1),
)
def increase_in_confidence_top(
    score: Score,
    x: Floats,
    saliency: Doubles,
    baseline: Floats | None = None,
    *,
    keep: Share = 0.5,
    to: Baseline = "black",
) -> Doubles:
    """Return 1 where O > Y, else 0, as in average-drop-top; NaN for a flat map."""
    before, after = kept(score, x, saliency, make_baseline(to, x, baseline), keep)
    return risen(before, after)


def through(score: Score, x: Floats, maps: Doubles, base: Floats) -> tuple[float, Doubles]:
    """Return the score of x, and of x seen through each map [M, H, W] stretched to [0, 1]; NaN for a flat one."""
    return _compared(score, x, maps, [seen_through(stretched(m), x, base) for m in maps if np.ptp(m) > 0])


def kept(score: Score, x: Floats, maps: Doubles, base: Floats, keep: float) -> tuple[float, Doubles]:
    """Return the score of x, and of the ``keep`` share of its pixels that is highest in each map; NaN for a flat one.

    Equal pixels are kept in reading order, so that the share is true.
    """
    count = round(keep * x[0].size)
    return _compared(score, x, maps, [np.where(rank(m) < count, x, base) for m in maps if np.ptp(m) > 0])


def _compared(score: Score, x: Floats, maps: Doubles, images: list[Floats]) -> tuple[float, Doubles]:
    found = scores(score, np.stack([x, *images]))
    after = np.full(len(maps), np.nan)
    after[[np.ptp(m) > 0 for m in maps]] = found[1:]
    return float(found[0]), after


def relative_drop(before: float, after: Doubles) -> Doubles:
    """Return max(0, Y - O) / Y; NaN where Y is not above 0."""
    return np.maximum(before - after, 0.0) / before if before > 0 else np.full(len(after), np.nan)


def risen(before: float, after: Doubles) -> Doubles:
    """Return 1 where O > Y, 0 elsewhere, NaN where O is."""
    return np.where(np.isnan(after), np.nan, after > before)
