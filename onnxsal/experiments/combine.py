"""SmoothGrad round other methods: what smoothing does to each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.experiments.base import Case, Cell, Outcome, Table, experiment
from onnxsal.experiments.drawn import alone, seen
from onnxsal.experiments.measures import sparseness, total_variation
from onnxsal.experiments.statistics import mean
from onnxsal.explanation import Explanation
from onnxsal.options import Level, Samples
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.layout import Labels, below, board, figure

_SHOWN = 3
"""Pictures drawn; the table is of all."""


@dataclass(frozen=True)
class _Pair:
    """Maps of all pictures by one method: plain, and under SmoothGrad."""

    method: str
    plain: list[Explanation]
    smooth: list[Explanation]


@dataclass(frozen=True)
class _Smoothing:
    """How SmoothGrad draws, and the steps of integrated gradients inside it."""

    samples: int
    noise: float
    steps: int


@experiment(
    "combine",
    paper="Smilkov et al. 2017, arXiv:1706.03825, figure 7 (SmoothGrad with integrated gradients and guided backprop)",
    shows="gradient, integrated gradients and guided backprop, each plain and under SmoothGrad",
)
def combine(
    case: Case,
    *,
    methods: tuple[str, ...] = ("gradient", "integrated-gradients", "guided-backprop"),
    samples: Samples = 20,
    noise: Level = 0.15,
    steps: Samples = 10,
) -> Outcome:
    """Maps, sparseness and variation, plain and smoothed; the picture shows the first three images.

    Args: samples, noise: SmoothGrad's. steps: of integrated gradients, where it is among the methods. A method that
    cannot serve the model is left out, and named.
    """
    case.check_layer(*methods)
    found: list[_Pair] = []
    refused: list[str] = []
    smoothing = _Smoothing(samples, noise, steps)
    step = case.count(2 * len(methods) * len(case.images))
    for method in methods:
        try:
            found.append(_pair(case, method, smoothing, step))
        except UnsupportedError as error:
            refused.append(f"{method} is left out: {error}")
    if not found:
        raise UnsupportedError("; ".join(refused))
    rows = tuple(_row(each.method, kind, maps) for each in found for kind, maps in _kinds(each))
    says = tuple(map(_saying, found))
    return Outcome(
        Table(("method", "", "sparseness", "variation"), rows), (*says, *refused), _drawn(found),
        {"images": len(case.images), "samples": samples, "noise": noise, "steps": steps},
    )  # fmt: skip


def _pair(case: Case, method: str, smoothing: _Smoothing, step: Callable[[], None]) -> _Pair:
    if method.startswith(("smoothgrad", "vargrad")):
        raise UsageError(f"option methods: {method!r} is smoothed already; name what it should be put round")
    own: dict[str, Any] = {"steps": smoothing.steps} if method == "integrated-gradients" else {}
    plain = case.explainer(method, **own)
    smooth = case.explainer("smoothgrad", inner=method, samples=smoothing.samples, noise=smoothing.noise, **own)
    maps: list[list[Explanation]] = [[], []]
    for image in case.images:
        for kind, make in enumerate((plain, smooth)):
            maps[kind].append(make(image, case.target))
            step()
    return _Pair(method, *maps)


def _kinds(pair: _Pair) -> tuple[tuple[str, Sequence[Explanation]], ...]:
    return ("plain", pair.plain), ("smoothed", pair.smooth)


def _row(method: str, kind: str, maps: Sequence[Explanation]) -> tuple[Cell, ...]:
    sparse = mean([sparseness(each.saliency) for each in maps]).within(0, 1)
    return method, kind, sparse, mean([total_variation(each.saliency) for each in maps]).within(0, math.inf)


def _saying(pair: _Pair) -> str:
    before, after = ([total_variation(m.saliency) for m in maps] for maps in (pair.plain, pair.smooth))
    change = mean([b / a - 1 for a, b in zip(before, after, strict=True)])
    return f"{pair.method}: smoothing changes the variation by {100 * change.value:+.0f} % on average"


def _drawn(found: Sequence[_Pair]) -> Pixels:
    parts = []
    for at in range(min(_SHOWN, len(found[0].plain))):
        cells: list[list[Pixels | None]] = [
            [seen(found[0].plain[at]), *(alone(each.plain[at]) for each in found)],
            [None, *(alone(each.smooth[at]) for each in found)],
        ]
        name = found[0].plain[at].label
        parts.append(board(cells, Labels([name, *(p.method for p in found)], ["plain", "SmoothGrad"]), cell=230))
    return figure([below(parts)], Caption("SmoothGrad round other methods"))
