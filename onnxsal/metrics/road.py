"""ROAD: pixels go in the order of the map and are filled from their neighbours, so that no hole tells where it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.kernels.rank import rank
from onnxsal.metrics.judgement import Doubles, Floats, Judgement, Score
from onnxsal.metrics.registry import metric
from onnxsal.metrics.scoring import scores_of
from onnxsal.options import Range

Shares = tuple[float, ...]
Noise = Annotated[float, Range(0)]
Order = Literal["morf", "lerf"]

_PAPER = "Rong et al. 2022, arXiv:2202.00449"
_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True)
class _Filling:
    """How pixels are filled in: the shares of them that are, the noise on each, and the seed of the noise."""

    shares: Shares
    noise: float
    seed: int


@metric(
    "road-morf",
    paper=f"{_PAPER} (most relevant first)",
    when="maps whose highest pixels carry the score, without rewarding the shape of the hole",
    higher_is_better=False,
    batched=True,
    ends=(0, 1),
)
def road_morf(
    score: Score, x: Floats, saliency: Doubles, seed: int = 0, *, shares: Shares = _SHARES, noise: Noise = 0.01
) -> list[Judgement]:
    """Return the mean score over ``shares`` of the highest pixels filled in, [0, 1]; NaN for a flat map.

    Args:
        shares: of the pixels, each above 0 and below 1.
        noise: on filled pixels, its standard deviation as a share of x's range (the authors' code: 0.01 absolute).
    The curve begins with the picture itself, at 0. Equal pixels go in reading order.
    """
    return [_judged(curve) for curve in _curves(score, x, saliency, ("morf",), _Filling(shares, noise, seed))[0]]


@metric(
    "road-lerf",
    paper=f"{_PAPER} (least relevant first)",
    when="maps whose lowest pixels can go without the score",
    batched=True,
    ends=(0, 1),
)
def road_lerf(
    score: Score, x: Floats, saliency: Doubles, seed: int = 0, *, shares: Shares = _SHARES, noise: Noise = 0.01
) -> list[Judgement]:
    """Return the mean score over ``shares`` of the lowest pixels filled in, [0, 1]; otherwise as road-morf."""
    return [_judged(curve) for curve in _curves(score, x, saliency, ("lerf",), _Filling(shares, noise, seed))[0]]


@metric(
    "road",
    paper=f"{_PAPER} (both orders)",
    when="maps that separate the pixels that carry the score from those that do not",
    batched=True,
    ends=(-1, 1),
)
def road(
    score: Score, x: Floats, saliency: Doubles, seed: int = 0, *, shares: Shares = _SHARES, noise: Noise = 0.01
) -> list[Judgement]:
    """Return the mean over ``shares`` of road-lerf's score less road-morf's, [-1, 1]; 0 is a map that tells nothing.

    The curve is that difference; it begins with 0.
    """
    least, most = _curves(score, x, saliency, ("lerf", "morf"), _Filling(shares, noise, seed))
    return [_judged(np.stack([a[:, 0], a[:, 1] - b[:, 1]], axis=1)) for a, b in zip(least, most, strict=True)]


def _judged(curve: Doubles) -> Judgement:
    value = float(curve[1:, 1].mean())
    return Judgement(value, curve=None if np.isnan(value) else curve)


def _curves(score: Score, x: Floats, maps: Doubles, orders: tuple[Order, ...], filling: _Filling) -> Doubles:
    """Return (share changed, score) of each order and map, [orders, M, shares + 1, 2]; NaN scores for a flat map."""
    from onnxsal.kernels.impute import impute  # compiled code: whoever only lists metrics does not load it

    counts = _counts(filling.shares, x[0].size)
    ranked = np.flatnonzero([np.ptp(each) > 0 for each in maps])
    places = {order: [rank(_signed(maps[m], order)) for m in ranked] for order in orders}
    work = [(order, m, k) for order in orders for m in range(len(ranked)) for k in range(len(counts))]

    def write(out: Floats, i: int) -> None:
        if i == 0:
            np.copyto(out, x)
            return
        order, m, k = work[i - 1]
        gone = places[order][m] < counts[k]
        np.copyto(out, impute(x, gone))
        np.add(out, _noise(x, filling.noise, (filling.seed, k)), out=out, where=gone)

    found = scores_of(score, x.shape, 1 + len(work), write)
    after = np.full((len(orders), len(maps), len(counts) + 1), np.nan)
    values = found[1:].reshape(len(orders), len(ranked), len(counts))
    after[:, ranked] = np.insert(values, 0, found[0], axis=2)
    changed = np.array([0, *counts]) / x[0].size
    return np.stack([np.broadcast_to(changed, after.shape), after], axis=-1)


def _signed(saliency: Doubles, order: Order) -> Doubles:
    return saliency if order == "morf" else -saliency


def _counts(shares: Shares, pixels: int) -> list[int]:
    if not shares or not all(0 < share < 1 for share in shares):
        raise UsageError(f"shares of the pixels lie above 0 and below 1, got {list(shares)}")
    return [min(max(1, round(share * pixels)), pixels - 1) for share in sorted(shares)]


def _noise(x: Floats, share: float, seed: tuple[int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(x.shape, np.float32) * np.float32(share * np.ptp(x))
