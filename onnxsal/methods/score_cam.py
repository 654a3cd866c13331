"""Score-based class activation maps: feature maps weighed by the score of the picture seen through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import onnx_ir as ir

from onnxsal.anatomy import Layer, Score
from onnxsal.errors import UsageError
from onnxsal.graph import Program
from onnxsal.graph.program import Trace, empty
from onnxsal.methods.parts import activation, combine, divide
from onnxsal.methods.registry import Cost, Level, Samples, Scores, method
from onnxsal.records import Draws, Foreseen, Grids, Moments, Noise, Record


@dataclass(frozen=True)
class Variant:
    """One published way to weigh maps by scores."""

    score: Scores
    normalise: Literal["after", "before", "no"] = "after"
    softmax: bool = False
    skip_flat: bool = True
    baseline: bool = False


SCORE_CAM = {
    "official": Variant("probability"),
    "paper": Variant("logit", softmax=True, baseline=True),
    "torchcam": Variant("logit", "before", softmax=True, skip_flat=False),
    "pytorch-grad-cam": Variant("logit", softmax=True, skip_flat=False),
    "tf-keras-vis": Variant("probability", skip_flat=False),
}
"""Presets of Score-CAM by whose code they follow. All combine the raw maps, here at the layer's own resolution: the
official code and pytorch-grad-cam enlarge each map first, which differs only where the sum of the maps is negative."""

SS_CAM = {
    "onnxsal": Variant("probability"),
    "paper": Variant("probability", baseline=True),
    "authors": Variant("probability"),
}
"""Presets of SS-CAM; how each adds its noise is in ``_noise``."""


ALLOCATIONS: dict[str, Literal["shared", "even", "neyman"]] = {
    "plain": "shared", "independent": "even", "neyman": "neyman",
}  # fmt: skip
"""How the draws of SS-CAM's estimators are spread."""

SAVED = 5
"""Forwards of plain sampling for one of ``neyman``."""


def _preset_score(presets: Mapping[str, Variant]) -> Callable[[Mapping[str, Any]], Scores]:
    return lambda options: presets[str(options["preset"])].score


@method(
    "score-cam",
    pools=True,
    paper="Wang et al. 2020, arXiv:1910.01279, definition 3 and algorithm 1",
    when="forward passes only: any operator, any precision; one forward a feature map",
    score=_preset_score(SCORE_CAM),
    rules=None,
    cost=Cost(lambda o, k: min(k, o["top_k"] or k) + 1 + SCORE_CAM[o["preset"]].baseline, lambda o, k: 0),
)
def score_cam(
    score: Program,
    layer: Layer,
    *,
    preset: Literal["official", "paper", "torchcam", "pytorch-grad-cam", "tf-keras-vis"] = "official",
    top_k: Samples | None = None,
) -> Record:
    """ReLU of the sum over channels of score times activation; [h, w], >= 0.

    Each map, upsampled and min-max normalised, masks the picture; its weight is the score of what remains.

    Args: preset: which of the published variants. top_k: only the maps of highest standard deviation
    (Faster-Score-CAM); ``left_out_bound`` in the manifest says how much of the map's maximum the others could add
    anywhere at most: where weights are probabilities, or differences of such, that pass no softmax. It is infinite
    where the map is empty.

    Where ``forwards``, ``seconds`` or ``tolerance`` leave maps out, their scores are foreseen from those of others, and
    the standard error is that of the map against the sum over all.
    """
    variant = SCORE_CAM[preset]
    draws = Draws(masks=_grids(variant, top_k), reference=variant.baseline, foreseen=_foreseen(score, variant))
    return _record(score, layer, draws, variant, (("preset", preset), ("top_k", top_k)))


@method(
    "ss-cam",
    pools=True,
    paper="Wang et al. 2020, arXiv:2006.14255, SS-CAM (1) and (2)",
    when="Score-CAM with each score averaged over noise; costs N times as much",
    score=_preset_score(SS_CAM),
    rules=None,
    cost=Cost(
        lambda o, k: (
            min(k, o["top_k"] or k) * _samples(o["estimator"], o["samples"]) + 1 + SS_CAM[o["preset"]].baseline
        ),
        lambda o, k: 0,
    ),
)
def ss_cam(
    score: Program,
    layer: Layer,
    *,
    variant: Literal[1, 2] = 1,
    samples: Samples = 35,
    noise: Level | None = None,
    estimator: Literal["plain", "independent", "neyman"] = "plain",
    preset: Literal["onnxsal", "paper", "authors"] = "onnxsal",
    top_k: Samples | None = None,
) -> Record:
    """ReLU of the sum over channels of mean noisy score times activation; [h, w], >= 0.

    Args:
        variant: 1 adds the noise to the mask, 2 to the masked picture, which did worse (docs/evaluate.md).
        samples, noise: N, of ``neyman`` the N of the plain sampling that it stands for (the manifest's ``samples`` is
            the mean number of draws a map); and sigma in the preset's own unit.
        estimator: ``plain`` draws all maps alike, with one noise for all maps of a sample; ``independent`` gives every
            forward noise of its own. ``neyman``, ours, does so too and spends more forwards on maps that matter: a
            fifth of the forwards, K N / 5, for the error of N plain samples or less; measured with 218 to 466 maps,
            and not so with a few dozen (docs/ss-cam.md).
        preset: ``onnxsal``: sigma 0.5 of the range of the normalised map (1) or of the masked picture (2).
            ``paper``: sigma 2, absolute, and the baseline's score subtracted. ``authors``: standard deviation
            (2 / range)^2, added to the raw map (1) or to the masked picture (2), as their code does.
        top_k: only the maps of highest standard deviation.

    Source: with sigma 2 on a normalised map nearly nothing of the picture is left; the weights then are noise, and
    the manifest's ``weight_reliability`` tells. All estimators have the same expectation.
    """
    chosen = _ss_cam(variant, preset)
    level = _noise(variant, preset, noise)
    draws = Draws(
        samples=_samples(estimator, samples), masks=_grids(chosen, top_k), noise=level, reference=chosen.baseline,
        allocation=ALLOCATIONS[estimator],
    )  # fmt: skip
    notes = (
        ("preset", preset), ("variant", variant), ("sigma", level.sigma), ("sigma_unit", level.unit),
        ("estimator", estimator),
    )  # fmt: skip
    return _record(score, layer, draws, chosen, (*notes, ("top_k", top_k)))


def _samples(estimator: str, samples: int) -> int:
    """Return how often a map is drawn on average."""
    return -(-samples // SAVED) if estimator == "neyman" else samples


def _ss_cam(variant: int, preset: str) -> Variant:
    raw = preset == "authors" and variant == 1
    return replace(SS_CAM[preset], normalise="no") if raw else SS_CAM[preset]


def _noise(variant: int, preset: str, sigma: float | None) -> Noise:
    on: Literal["mask", "input"] = "mask" if variant == 1 else "input"
    if preset == "onnxsal":
        unit: Literal["range of masks", "range of masked x"] = "range of masks" if variant == 1 else "range of masked x"
        return Noise(0.5 if sigma is None else sigma, unit, on)
    return Noise(2.0 if sigma is None else sigma, "authors" if preset == "authors" else "absolute", on)


@method(
    "is-cam",
    pools=True,
    paper="Naidu et al. 2020, arXiv:2010.03023, algorithm 1",
    when="Score-CAM with each score averaged over fainter and fuller masks",
    score="probability",
    rules=None,
    cost=Cost(lambda o, k: min(k, o["top_k"] or k) * o["samples"] + 2, lambda o, k: 0),
)
def is_cam(score: Program, layer: Layer, *, samples: Samples = 10, top_k: Samples | None = None) -> Record:
    """ReLU of the sum over channels of mean score, over masks scaled by i/N, times activation; [h, w], >= 0.

    Args: samples: N; i runs from 1 to N, not accumulated, and whole: a limit leaves out maps, as of ``score-cam``.
    top_k: only the maps of highest standard deviation.
    """
    variant = Variant("probability", baseline=True)
    scales = tuple(i / samples for i in range(1, samples + 1))
    draws = Draws(
        samples=samples, masks=_grids(variant, top_k), scales=scales, reference=True, foreseen=_foreseen(score, variant)
    )
    return _record(score, layer, draws, variant, (("top_k", top_k),))


def _grids(variant: Variant, top_k: int | None) -> Grids:
    return Grids(variant.normalise, variant.skip_flat, top_k)


def _foreseen(score: Program, variant: Variant) -> Foreseen:
    return Foreseen(score.ends if isinstance(score, Score) else None, variant.softmax)


def _record(score: Program, layer: Layer, draws: Draws, variant: Variant, notes: tuple[tuple[str, Any], ...]) -> Record:
    top_k = draws.masks.top_k if isinstance(draws.masks, Grids) else None
    draws = _placed(draws, layer)
    if top_k is not None and top_k > layer.channels:
        raise UsageError(f"option top_k={top_k}: layer {layer.name!r} has {layer.channels} feature maps")
    head, limit = score.extend(), None if top_k is None else _weight_limit(score, variant)
    if top_k is not None and limit is None:
        notes = (*notes, ("left_out_bound", f"unknown: {_UNBOUNDED}"))
    return Record(
        head=head.finish(maps=activation(head, layer)),
        draws=draws,
        body=score,
        moments=Moments(("score",), per="mask"),
        tail=_tail(variant, limit, layer.positions),
        notes=notes,
    )


def _placed(draws: Draws, layer: Layer) -> Draws:
    """Maps mask the part of the picture that they are of."""
    masks = draws.masks
    return replace(draws, masks=replace(masks, placement=layer.placement)) if isinstance(masks, Grids) else draws


_UNBOUNDED = "a weight has a bound only where it is a probability, or a difference of such, and passes no softmax"


def _weight_limit(score: Program, variant: Variant) -> float | None:
    """Return the largest size of a map's weight; None where there is none, or where weights depend on each other.

    A probability is in [0, 1] and so, less that of the baseline, in [-1, 1]; a difference of two is in [-1, 1], and
    less that of the baseline in [-2, 2].
    """
    if not isinstance(score, Score) or variant.softmax:
        return None
    return score.widest(against=variant.baseline)


def _tail(variant: Variant, limit: float | None, positions: Sequence[int]) -> Program:
    """From the maps, their mean scores [K] and which of them were drawn [K] to the map.

    Args: limit: the largest size of a weight, where what is left out is to be bounded by it.
    """
    op = empty(21)
    maps = op.input("maps", ir.DataType.FLOAT, [1, "K", *[None] * len(positions)])
    scores = op.input("mean/score", ir.DataType.FLOAT, ["K"])
    drawn = op.Greater(op.input("drawn", ir.DataType.FLOAT, ["K"]), 0.5)
    if variant.baseline:
        scores = op.Sub(scores, op.input("reference/score", ir.DataType.FLOAT, [1]))
    if variant.softmax:
        scores = op.Softmax(op.Where(drawn, scores, -1e30), axis=0)
    weights = op.Where(drawn, scores, 0.0)
    saliency = combine(op, op.Reshape(weights, [1, -1, *[1] * len(positions)]), maps)
    if limit is None:
        return op.finish(saliency=saliency)
    skipped = _skipped(op, maps, positions, drawn, skip_flat=variant.skip_flat)
    added = op.Mul(op.ReduceSum(op.Where(skipped, op.Abs(maps), 0.0), [1], keepdims=0), limit)
    bound = _share(op, op.ReduceMax(added, keepdims=0), op.ReduceMax(saliency, keepdims=0))
    return op.finish(saliency=saliency, left_out_bound=bound)


def _skipped(op: Trace, maps: ir.Value, positions: Sequence[int], drawn: ir.Value, *, skip_flat: bool) -> ir.Value:
    """Return which maps the whole map has and this one has not, [1, K, 1, 1]; of flat ones it depends on the variant.

    One adds at most its own size times that of its weight, and where the sum is below 0 the ReLU takes of that.
    """
    skipped = op.Not(op.Reshape(drawn, [1, -1, *[1] * len(positions)]))
    if not skip_flat:
        return skipped
    high, low = (reduce(maps, positions, keepdims=1) for reduce in (op.ReduceMax, op.ReduceMin))
    return op.And(skipped, op.Greater(op.Sub(high, low), 0.0))


def _share(op: Trace, added: ir.Value, peak: ir.Value) -> ir.Value:
    """Return added / peak: 0 where nothing is added, infinity where something is to an empty map."""
    empty_map = op.Where(op.Equal(added, 0.0), 0.0, float("inf"))
    return op.Where(op.Equal(peak, 0.0), empty_map, divide(op, added, peak))
