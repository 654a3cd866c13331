"""Erasure: what the score loses without the strongest share of what counts, and what that share alone keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from onnxsal.errors import UsageError
from onnxsal.kernels.rank import rank
from onnxsal.metrics.baselines import Baseline, among_changed, make_baseline
from onnxsal.metrics.judgement import UNDEFINED, Doubles, Floats, Judgement, Score
from onnxsal.metrics.registry import metric
from onnxsal.metrics.scoring import scores

_PAPER = "DeYoung et al. 2020, arXiv:1911.03429, section 5.2 (ERASER)"

Fractions = tuple[float, ...]

FRACTIONS: Fractions = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Of the tokens, as the paper has them."""


@metric(
    "comprehensiveness",
    paper=_PAPER,
    when="maps whose strongest tokens are all that the score needs: it falls without them",
    batched=True,
    ends=(-1, 1),
)
def comprehensiveness(
    score: Score,
    x: Floats,
    saliency: Doubles,
    baseline: Floats | None = None,
    *,
    fractions: Fractions = FRACTIONS,
    to: Baseline = "black",
) -> list[Judgement]:
    """Return the mean over ``fractions`` of S(x) - S(x without the strongest ones), [-1, 1].

    A fraction is of the positions that ``to`` differs from at all, so that tokens which it keeps, such as those that
    the tokenizer added, do not count; it is rounded up, one at least. What goes shows ``to``. A flat map gives NaN.
    """
    return _erased(score, x, saliency, make_baseline(to, x, baseline), fractions, keep=False)


@metric(
    "sufficiency",
    paper=_PAPER,
    when="maps whose strongest tokens alone keep the score",
    higher_is_better=False,
    batched=True,
    ends=(-1, 1),
)
def sufficiency(
    score: Score,
    x: Floats,
    saliency: Doubles,
    baseline: Floats | None = None,
    *,
    fractions: Fractions = FRACTIONS,
    to: Baseline = "black",
) -> list[Judgement]:
    """Return the mean over ``fractions`` of S(x) - S(the strongest ones alone), [-1, 1]; all else as in
    comprehensiveness."""
    return _erased(score, x, saliency, make_baseline(to, x, baseline), fractions, keep=True)


def _erased(
    score: Score, x: Floats, maps: Doubles, base: Floats, fractions: Sequence[float], *, keep: bool
) -> list[Judgement]:
    """Return the mean drop of each map and its curve: what of the positions went, and the score there."""
    if not fractions or not all(0 < each <= 1 for each in fractions):
        raise UsageError(f"option fractions: shares of what counts are above 0 and up to 1, got {list(fractions)}")
    left = among_changed(score, x, base, maps)
    if left is None:
        return [UNDEFINED] * len(maps)
    count = left.maps.shape[-1]
    most = [min(count, math.ceil(round(each * count, 9))) for each in fractions]
    found = []
    whole = float(scores(left.score, left.x[None])[0])
    for each in left.maps:
        if np.ptp(each) == 0:
            found.append(UNDEFINED)
            continue
        order = rank(each)
        shown = np.stack([np.where((order < n) == keep, left.x, left.base) for n in most])
        drops = whole - scores(left.score, shown)
        curve = np.stack([np.asarray(fractions), whole - drops], axis=1)
        found.append(Judgement(float(drops.mean()), curve=curve, details={"of": count, "whole": whole}))
    return found
