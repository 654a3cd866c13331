"""Stability: how a map moves with its picture, and whether it moves with the model's weights."""

from __future__ import annotations

from math import inf
from typing import Annotated, Literal

import numpy as np

from onnxsal.errors import UsageError
from onnxsal.metrics.agreement import similarity
from onnxsal.metrics.baselines import Baseline, make_baseline, seen_through, stretched
from onnxsal.metrics.drop import relative_drop
from onnxsal.metrics.judgement import UNDEFINED, Doubles, Explain, Floats, Judgement, Score
from onnxsal.metrics.registry import metric
from onnxsal.metrics.scoring import scores
from onnxsal.options import Range, Samples

Radius = Annotated[float, Range(0)]
_BATCH = 8


@metric(
    "max-sensitivity",
    paper="Yeh et al. 2019, arXiv:1901.09392",
    when="maps that hardly move when the picture does",
    higher_is_better=False,
    ends=(0, inf),
)
def max_sensitivity(
    x: Floats, saliency: Doubles, explain: Explain, seed: int = 0, *, samples: Samples = 10, radius: Radius = 0.02
) -> float:
    """Return the largest |map(x + d) - map(x)| / |map(x)| of ``samples`` draws of d, >= 0; NaN for a map of 0.

    d is uniform in [-r, r] for every value of x, r the ``radius`` as a share of x's range; norms are Euclidean.
    The largest of a few draws is a lower bound of the definition's maximum, and grows with their number.
    """
    size = np.linalg.norm(saliency)
    if not size > 0:
        return float("nan")
    rng, reach = np.random.default_rng(seed), radius * float(np.ptp(x))
    moved = 0.0
    for start in range(0, samples, _BATCH):
        count = min(_BATCH, samples - start)
        images = x + rng.uniform(-reach, reach, (count, *x.shape)).astype(np.float32)
        away = explained(explain, images) - saliency
        moved = max(moved, float(np.linalg.norm(away.reshape(count, -1), axis=1).max()))
    return moved / float(size)


@metric(
    "adcc",
    paper="Poppi et al. 2021, arXiv:2104.10252",
    when="maps that keep the score, are small, and stay the same when they alone are seen",
    ends=(0, 1),
)
def adcc(
    score: Score,
    x: Floats,
    saliency: Doubles,
    explain: Explain,
    baseline: Floats | None = None,
    *,
    to: Baseline = "black",
) -> Judgement:
    """Return the harmonic mean of coherency, 1 - complexity and 1 - average drop, [0, 1]; NaN for a flat map.

    Coherency is (1 + r) / 2, r the correlation of the map with that of the picture seen through it (where that is flat:
    0); complexity is the mean of the stretched map. The paper averages the parts over pictures first; here every
    picture has its own harmonic mean, so that pictures can be resampled.
    """
    if not np.ptp(saliency):
        return UNDEFINED
    weights = stretched(saliency)
    seen = seen_through(weights, x, make_baseline(to, x, baseline))
    before, after = scores(score, np.stack([x, seen]))
    drop = float(relative_drop(before, np.array([after]))[0])
    coherency = _coherency(saliency, explained(explain, seen[None])[0])
    parts = (coherency, 1 - float(weights.mean()), 1 - drop)
    value = 3 / sum(1 / part for part in parts) if min(parts) > 0 else min(parts)
    names = ("coherency", "one_minus_complexity", "one_minus_drop")
    return Judgement(value, details=dict(zip(names, parts, strict=True)))


def _coherency(first: Doubles, second: Doubles) -> float:
    correlation = similarity(first, second, by="pearson")
    return 0.0 if np.isnan(correlation) else (1 + correlation) / 2


@metric(
    "randomisation",
    paper="Adebayo et al. 2018, arXiv:1810.03292 (cascading randomisation)",
    when="maps that change when the model's weights are drawn anew: what stays was never the model's",
    higher_is_better=False,
    ends=(-1, 1),
)
def randomisation(
    saliency: Doubles, randomised: Doubles, *, by: Literal["spearman", "ssim", "pearson", "cosine"] = "spearman"
) -> Judgement:
    """Return the mean agreement of the map with those of the randomised models, [-1, 1]; NaN for a flat map.

    SSIM takes maps with negative values as spread over [-1, 1], others as over [0, 1].
    The curve is (share of the stages randomised, agreement), from the map itself on. A randomised model whose map is
    flat agrees in nothing: 0.
    """
    if not np.ptp(saliency):
        return UNDEFINED
    if randomised.ndim != 3 or randomised.shape[1:] != saliency.shape:
        raise UsageError(f"randomised maps must be [K, {saliency.shape[0]}, {saliency.shape[1]}], got "
                         f"{list(randomised.shape)}")  # fmt: skip
    span = 2.0 if min(saliency.min(), randomised.min()) < 0 else 1.0
    agreements = [similarity(saliency, each, by=by, span=span) if np.ptp(each) else 0.0 for each in randomised]
    shares = np.arange(len(agreements) + 1) / len(agreements)
    curve = np.stack([shares, [1.0, *agreements]], axis=1)
    return Judgement(float(np.mean(agreements)), curve=curve, details={"stages": len(agreements)})


def explained(explain: Explain, images: Floats) -> Doubles:
    """Return a callable's maps of pictures, float64 [N, H, W]. Raises: UsageError: another shape, or not finite."""
    found = np.asarray(explain(images), np.float64)
    expected = (len(images), *images.shape[2:])
    if found.shape != expected or not np.isfinite(found).all():
        what = f"shape {list(found.shape)}" if found.shape != expected else "values that are NaN or infinite"
        raise UsageError(f"explain must give a finite map a picture: expected {list(expected)}, got {what}")
    return found
