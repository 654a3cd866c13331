"""Faithfulness of attributions: whether their sums are what the score does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.metrics.baselines import Baseline, make_baseline
from onnxsal.metrics.judgement import UNDEFINED, Doubles, Floats, Judgement, Score
from onnxsal.metrics.registry import metric
from onnxsal.metrics.scoring import scores, scores_of
from onnxsal.options import Range, Samples

Shares = tuple[float, ...]


@metric(
    "completeness",
    paper="Sundararajan et al. 2017, arXiv:1703.01365 (axiom of completeness)",
    when="attributions that add up to the logit's rise over a baseline",
    higher_is_better=False,
    ends=(0, inf),
)
def completeness(
    logit: Score,
    x: Floats,
    raw: NDArray[np.float64],
    baseline: Floats | None = None,
    *,
    to: Baseline = "zero",
    relative: bool = False,
) -> Judgement:
    """Return |sum of the attribution - (S(x) - S(x'))|, or that over |S(x) - S(x')|; NaN without a picture's shape.

    Only attributions of x's own shape make the claim. ``to`` is x'; the method's own must be chosen.
    """
    if raw.shape != x.shape:
        return UNDEFINED
    ends = scores(logit, np.stack([x, make_baseline(to, x, baseline)]))
    rise = float(ends[0] - ends[1])
    gap = abs(float(raw.sum()) - rise)
    return Judgement(gap / abs(rise) if relative and rise else gap, details={"rise": rise})


@metric(
    "sensitivity-n",
    paper="Ancona et al. 2018, arXiv:1711.06104",
    when="attributions whose sum over any group of pixels tells the logit's drop without them",
    batched=True,
    ends=(-1, 1),
)
def sensitivity_n(
    logit: Score,
    x: Floats,
    saliency: Doubles,
    raw: list[NDArray[np.float64]] | None = None,
    baseline: Floats | None = None,
    seed: int = 0,
    *,
    shares: Shares = (0.02, 0.1, 0.3),
    samples: Samples = 40,
    to: Baseline = "black",
) -> list[Judgement]:
    """Return the mean over n of the correlation of attribution sums with logit drops, [-1, 1].

    For each n, ``samples`` random groups of n pixels are exchanged for the baseline, all channels; all maps of the
    picture share them. The attribution is the raw one, summed over channels, where it has x's shape, else the map. A
    flat attribution gives NaN. The curve is (n as a share of the pixels, correlation).
    """
    base, pixels = make_baseline(to, x, baseline), x[0].size
    kinds, weights = attributions(x, saliency, raw)
    counts = [max(1, round(share * pixels)) for share in _checked(shares)]
    group, sums = _groups(pixels, counts, samples, seed), np.empty((len(weights), len(counts) * samples))

    def write(out: Floats, i: int) -> None:
        gone = group(i)
        sums[:, i] = weights[:, gone].sum(axis=1)
        np.copyto(out, x)
        np.copyto(out, base, where=gone.reshape(x.shape[1:]))

    drops = float(scores(logit, x[None])[0]) - scores_of(logit, x.shape, sums.shape[1], write)
    found = [correlations(each.reshape(len(counts), -1), drops.reshape(len(counts), -1)) for each in sums]
    axis = np.array(counts) / pixels
    return [
        Judgement(float(each.mean()), curve=np.stack([axis, each], axis=1), details={"of": kind})
        for each, kind in zip(found, kinds, strict=True)
    ]


@metric(
    "infidelity",
    paper="Yeh et al. 2019, arXiv:1901.09392",
    when="attributions that tell to first order what a change of the picture does to the logit",
    higher_is_better=False,
    batched=True,
    ends=(0, inf),
)
def infidelity(
    logit: Score,
    x: Floats,
    saliency: Doubles,
    raw: list[NDArray[np.float64]] | None = None,
    baseline: Floats | None = None,
    seed: int = 0,
    *,
    change: Literal["noise", "square"] = "noise",
    size: Annotated[float, Range(0)] = 0.1,
    samples: Samples = 50,
    scaled: bool = True,
) -> list[Judgement]:
    """Return the mean of (I . attribution - (S(x) - S(x - I)))^2 over changes I, >= 0, in squared logits.

    Args:
        change: ``noise``: I normal, its standard deviation ``size`` as a share of x's range; ``square``: a square at a
            random place, its side ``size`` of the picture's shorter one, goes to black.
        scaled: the attribution times the one number that suits it best, since many maps have no unit.
    All maps share the changes. The attribution is the raw one where it has x's shape, else the map, spread evenly over
    the channels. One of nothing but 0 predicts no change, and is judged for that.
    """
    kinds, weights = attributions(x, saliency, raw, spread=True)
    base = make_baseline("black", x, baseline)
    changes = _changes(x, base, change, size, seed)
    predicted = np.empty((len(weights), samples))
    spread = weights.reshape(len(weights), -1)

    def write(out: Floats, i: int) -> None:
        moved = changes(i)
        predicted[:, i] = spread @ moved.ravel()
        np.subtract(x, moved, out=out)

    drops = float(scores(logit, x[None])[0]) - scores_of(logit, x.shape, samples, write)
    factors = best_factors(predicted, drops) if scaled else np.ones(len(weights))
    errors = ((factors[:, None] * predicted - drops) ** 2).mean(axis=1)
    return [
        Judgement(float(error), details={"of": kind, "factor": float(factor)})
        for error, factor, kind in zip(errors, factors, kinds, strict=True)
    ]


def attributions(
    x: Floats, saliency: Doubles, raw: list[NDArray[np.float64]] | None, *, spread: bool = False
) -> tuple[list[str], Doubles]:
    """Return for each map what is judged (``raw`` or ``saliency``), and it: [M, H * W], or [M, C * H * W] if spread."""
    kinds, found = [], []
    for i, each in enumerate(saliency):
        own = raw is not None and raw[i].shape == x.shape
        kinds.append("raw" if own else "saliency")
        if raw is not None and own:
            found.append(raw[i] if spread else raw[i].sum(axis=0))
        else:
            found.append(np.broadcast_to(each / len(x), x.shape) if spread else each)
    return kinds, np.stack(found).reshape(len(found), -1)


def correlations(a: Doubles, b: Doubles) -> Doubles:
    """Return the linear correlation of each row with its row, [rows]; NaN where one does not vary."""
    first, second = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    below = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    flat = (np.ptp(a, axis=1) <= 1e-12 * np.abs(a).max(axis=1)) | (np.ptp(b, axis=1) == 0)
    return np.where(flat, np.nan, (first * second).sum(axis=1) / np.where(below > 0, below, 1))


def best_factors(predicted: Doubles, drops: Doubles) -> Doubles:
    """Return for each row of predictions the factor that brings it nearest to the drops; 0 for a row of 0."""
    energy = (predicted**2).mean(axis=1)
    return np.asarray((predicted * drops).mean(axis=1) / np.where(energy > 0, energy, 1))


def _checked(shares: Iterable[float]) -> list[float]:
    found = list(shares)
    if not found or not all(0 < share < 1 for share in found):
        raise UsageError(f"shares of the pixels lie between 0 and 1, got {found}")
    return found


def _groups(pixels: int, counts: list[int], samples: int, seed: int) -> Callable[[int], NDArray[np.bool_]]:
    def group(i: int) -> NDArray[np.bool_]:
        chosen = np.zeros(pixels, bool)
        chosen[np.random.default_rng((seed, i)).choice(pixels, counts[i // samples], replace=False)] = True
        return chosen

    return group


def _changes(x: Floats, base: Floats, kind: str, size: float, seed: int) -> Callable[[int], Floats]:
    height, width = x.shape[1:]
    side = max(1, round(size * min(height, width)))
    if kind == "square" and side > min(height, width):
        raise UsageError(f"option size: a square's side is a share of the picture's, 0 to 1, got {size}")

    def noise(i: int) -> Floats:
        drawn = np.random.default_rng((seed, i)).standard_normal(x.shape, np.float32)
        return np.float32(size * np.ptp(x)) * drawn

    def square(i: int) -> Floats:
        rng = np.random.default_rng((seed, i))
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        place = np.s_[:, top : top + side, left : left + side]
        moved = np.zeros_like(x)
        moved[place] = (x - base)[place]
        return moved

    return noise if kind == "noise" else square
