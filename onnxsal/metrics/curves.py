"""Deletion and insertion: how the score moves as pixels go or come in the order of the map."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.rank import order
from onnxsal.metrics.baselines import OF_TEXTS, Among, Baseline, among_changed, make_baseline
from onnxsal.metrics.judgement import Doubles, Floats, Judgement, Score
from onnxsal.metrics.registry import metric
from onnxsal.metrics.scoring import scores_of
from onnxsal.options import Range

Steps = Annotated[int, Range(1)]
Ties = Literal["reading", "random"]

_PAPER = "Petsiuk et al. 2018, arXiv:1806.07421"


@metric(
    "deletion",
    paper=_PAPER,
    when="maps whose highest pixels carry the score: it falls early as they are blackened",
    higher_is_better=False,
    batched=True,
    ends=(0, 1),
)
def deletion(
    score: Score,
    x: Floats,
    saliency: Doubles,
    baseline: Floats | None = None,
    *,
    steps: Steps = 50,
    to: Baseline = "black",
    ties: Ties = "reading",
) -> list[Judgement]:
    """Return the area under the score, from the picture to the baseline, highest pixels first, [0, 1].

    The area is the trapezoid's over the true share of pixels changed. A flat map has no order: NaN.

    Args:
        saliency: [M, H, W]; all maps share the batches and the two ends.
        steps: number of times that pixels go, as equal groups as whole pixels allow.
        to: ``black`` of the model, ``zero`` of its preprocessed input, ``blur`` of the picture (kernel 11, sigma 5),
            its ``mean`` a channel; of texts the token ``pad`` or ``mask``, where those that were added stay and do not
            count.
        ties: equal pixels in reading order, or shuffled, always the same way.
    """
    return _walked(score, x, make_baseline(to, x, baseline), saliency, (steps, ties, to, False))


@metric(
    "insertion",
    paper=_PAPER,
    when="maps whose highest pixels suffice: the score rises early as they come back to a blurred picture",
    batched=True,
    ends=(0, 1),
)
def insertion(
    score: Score,
    x: Floats,
    saliency: Doubles,
    baseline: Floats | None = None,
    *,
    steps: Steps = 50,
    to: Baseline = "blur",
    ties: Ties = "reading",
) -> list[Judgement]:
    """Return the area under the score, from the baseline to the picture, highest pixels first, [0, 1].

    Everything else is as in deletion; ``to`` is where it starts.
    """
    return _walked(score, x, make_baseline(to, x, baseline), saliency, (steps, ties, to, True))


def _walked(
    score: Score, x: Floats, base: Floats, maps: Doubles, how: tuple[int, Ties, Baseline, bool]
) -> list[Judgement]:
    """Return the walk of each map; of a text only over the tokens that its baseline changes."""
    steps, ties, to, inserted = how
    left = among_changed(score, x, base, maps) if to in OF_TEXTS else Among(score, x, base, maps)
    if left is None:
        return [Judgement(float("nan"))] * len(maps)
    ends = (left.base, left.x) if inserted else (left.x, left.base)
    return walk(left.score, ends, left.maps, steps, ties)


def orders(maps: Doubles, ties: Ties) -> NDArray[np.int64]:
    """Return the pixel indices of each map from its highest value to its lowest, [M, H * W]."""
    pixels = maps.shape[1] * maps.shape[2]
    if not len(maps):
        return np.empty((0, pixels), np.int64)
    if ties == "reading":
        return order(maps)
    shuffle = np.random.default_rng(0).permutation(pixels)
    return np.asarray(shuffle[order(maps.reshape(len(maps), 1, pixels)[..., shuffle])])


def flat(maps: Doubles) -> NDArray[np.bool_]:
    """Return which maps [M, H, W] have one value everywhere, so no order."""
    pixels = maps.reshape(len(maps), -1)
    return np.asarray(pixels.min(axis=1) == pixels.max(axis=1))


def cuts(pixels: int, steps: int) -> NDArray[np.int64]:
    """Return how many pixels are changed after each of ``steps`` steps, [steps + 1], from 0 to all of them."""
    return np.rint(np.linspace(0, pixels, min(steps, pixels) + 1)).astype(np.int64)


def walk(score: Score, ends: tuple[Floats, Floats], maps: Doubles, steps: int, ties: Ties) -> list[Judgement]:
    """Return the area and curve of each map [M, H, W]: its pixels go from the first picture to the second."""
    start, end = (np.array(each, order="C") for each in ends)
    counts, undefined = cuts(maps[0].size, steps), flat(maps)
    inner = len(counts) - 2
    ways, current = orders(maps[~undefined], ties), start.copy()

    def write(out: Floats, i: int) -> None:
        if i < 2:
            np.copyto(out, end if i else start)
            return
        # Picture after picture, so that each costs the pixels that change and one copy.
        m, step = divmod(i - 2, inner)
        if step == 0:
            np.copyto(current, start)
        now = ways[m, counts[step] : counts[step + 1]]
        for own, there in zip(_flat(current), _flat(end), strict=True):  # several times as fast as all channels at once
            own[now] = there[now]
        np.copyto(out, current)

    found = scores_of(score, start.shape, 2 + len(ways) * inner, write)
    between = iter(found[2:].reshape(len(ways), inner))
    return [_judged(counts, found[:2], None if no else next(between)) for no in undefined]


def _flat(image: Floats) -> Floats:
    return image.reshape(len(image), -1)


def _judged(counts: NDArray[np.int64], ends: Doubles, between: Doubles | None) -> Judgement:
    if between is None:
        return Judgement(float("nan"))
    curve = np.stack([counts / counts[-1], np.concatenate([ends[:1], between, ends[1:]])], axis=1)
    return Judgement(float(np.trapezoid(curve[:, 1], curve[:, 0])), curve=curve)
