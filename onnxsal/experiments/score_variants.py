"""SS-CAM (1), SS-CAM (2) and Score-CAM beside each other, with deletion and insertion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from onnxsal.evaluation.score import Score, scorer_of
from onnxsal.experiments.base import Case, Cell, Explain, Outcome, Table, experiment
from onnxsal.experiments.drawn import on_image, seen
from onnxsal.experiments.statistics import Estimate, mean
from onnxsal.explanation import Explanation
from onnxsal.explanation.target import TargetSource, resolve_target
from onnxsal.metrics.judgement import Judgement
from onnxsal.metrics.registry import get
from onnxsal.model.fitted import Fitted
from onnxsal.options import Level, Samples
from onnxsal.records import spread
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.layout import Labels, beside, board, figure
from onnxsal.viz.plot import Axis, Curve, curves

METRICS = ("deletion", "insertion")
_BATCH = 16
_SHOWN = 3


@dataclass(frozen=True)
class _Found:
    """Maps of all pictures by one variant, and what each metric says of each."""

    maps: list[Explanation]
    judged: dict[str, list[Judgement]]


@experiment(
    "score-variants",
    paper="Wang et al. 2020, arXiv:2006.14255 (SS-CAM (1) and (2)); arXiv:1910.01279 (Score-CAM)",
    shows="maps of the three, and how the score falls and rises as pixels go and come in their order",
)
def score_variants(
    case: Case,
    *,
    samples: Samples = 35,
    noise: Level | None = None,
    preset: Literal["onnxsal", "paper", "authors"] = "onnxsal",
    top_k: Samples | None = None,
    steps: Samples = 50,
) -> Outcome:
    """Areas under deletion (lower is better) and insertion (higher is better), means over pictures, and the curves.

    Args: samples, noise, preset: SS-CAM's. top_k: only the feature maps of highest standard deviation, for all three.
    steps: of deletion and insertion.
    """
    noisy: dict[str, Any] = {"samples": samples, "noise": noise, "preset": preset, "top_k": top_k}
    makers = {
        "score-cam": case.explainer("score-cam", top_k=top_k),
        "ss-cam (1)": case.explainer("ss-cam", variant=1, **noisy),
        "ss-cam (2)": case.explainer("ss-cam", variant=2, **noisy),
    }
    step = case.count(len(makers) * len(case.images))
    found = {name: _run(case, make, steps, step) for name, make in makers.items()}
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(_area(each, metric) for metric in METRICS), _cost(each)) for name, each in found.items()
    )
    return Outcome(
        Table(("method", "deletion", "insertion", "forwards a picture"), rows),
        _says(found), _drawn(found),
        {"images": len(case.images), "samples": samples, "preset": preset, "top_k": top_k, "steps": steps},
    )  # fmt: skip


def _run(case: Case, make: Explain, steps: int, step: Callable[[], None]) -> _Found:
    found = _Found([], {metric: [] for metric in METRICS})
    for image in case.images:
        each = make(image, case.target)
        found.maps.append(each)
        fitted = case.fitted(image)
        model, x = fitted.model, fitted.sample.x
        black = spread(model.black(), x.shape).astype(np.float32)
        given = {"score": scorer(fitted, case.target), "x": x, "saliency": each.saliency, "baseline": black}
        for metric in METRICS:
            found.judged[metric].append(get(metric)(**given, steps=steps))
        step()
    return found


def scorer(fitted: Fitted, target: TargetSource) -> Score:
    """Return the score that metrics follow, from pictures [N, C, H, W]: the probability of a class, of a pair
    that of the first, of a detection what is matched anew in every picture."""
    model, sample = fitted.model, fitted.sample
    one = target[0] if isinstance(target, tuple) else target
    goal = resolve_target(model, one, model.outputs(sample.x), sample)
    return scorer_of(model, goal, model.task.kind("probability"), _BATCH)


def _area(found: _Found, metric: str) -> Estimate:
    return mean([each.value for each in found.judged[metric]]).within(0, 1)


def _cost(found: _Found) -> int:
    return round(sum(int(each.manifest["forwards"]) for each in found.maps) / len(found.maps))


def _says(found: dict[str, _Found]) -> tuple[str, ...]:
    plain, lines = found["score-cam"], []
    for name in list(found)[1:]:
        for metric in METRICS:
            pairs = zip(found[name].judged[metric], plain.judged[metric], strict=True)
            gaps = mean([a.value - b.value for a, b in pairs]).within(-1, 1)
            lines.append(f"{name} minus score-cam, {metric}: {gaps}")
    return (*lines, *_doubts(found))


def _doubts(found: dict[str, _Found]) -> list[str]:
    """How many maps warn that their weights are mostly noise."""
    lines = []
    for name, each in found.items():
        shares = [m.manifest["weight_reliability"] for m in each.maps if "weight_reliability" in m.manifest]
        if shares:
            lines.append(f"{name}: {100 * float(np.mean(shares)):.0f} % of the spread of its weights is not noise")
    return lines


def _drawn(found: dict[str, _Found]) -> Pixels:
    names = list(found)
    count = min(_SHOWN, len(found[names[0]].maps))
    cells = [[seen(found[names[0]].maps[at]), *(on_image(found[n].maps[at]) for n in names)] for at in range(count)]
    labels = [found[names[0]].maps[at].label for at in range(count)]
    maps = board(cells, Labels(["the picture", *names], labels), cell=205)
    plots = [_plot(found, metric) for metric in METRICS]
    images = len(found[names[0]].maps)
    detail = f"Curves: means over {images} pictures with 95 % intervals" if images > 1 else ""
    return figure([maps, beside(plots)], Caption("Score-CAM and its two smoothed forms", detail=detail))


def _plot(found: dict[str, _Found], metric: str) -> Pixels:
    words = {"deletion": "of pixels taken away, highest first", "insertion": "of pixels put back, highest first"}
    lines = [_curve(name, each.judged[metric]) for name, each in found.items()]
    return curves(
        lines, x=Axis(f"share {words[metric]}", 0, 1), y=Axis("probability of the class", 0, 1),
        title=metric.capitalize() + (": lower is better" if metric == "deletion" else ": higher is better"),
        size=(520, 330),
    )  # fmt: skip


def _curve(name: str, judged: Sequence[Judgement]) -> Curve:
    stacked = np.stack([each.curve for each in judged if each.curve is not None])
    points = [mean(list(column)).within(0, 1) for column in stacked[:, :, 1].T]
    low, high = ([getattr(p, end) if p.low == p.low else p.value for p in points] for end in ("low", "high"))
    return Curve(name, list(stacked[0, :, 0]), [p.value for p in points], low, high)
