"""The noise x sample-size grid of SmoothGrad, with what each step does to the map."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from onnxsal.experiments.base import Case, Explain, Outcome, Table, ascending, experiment
from onnxsal.experiments.drawn import alone, seen
from onnxsal.experiments.measures import correlations, sparseness, total_variation
from onnxsal.experiments.statistics import Estimate, mean, pair_mean
from onnxsal.explanation import Explanation
from onnxsal.options import Range
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.layout import Labels, below, beside, board, figure
from onnxsal.viz.plot import Axis, Curve, curves

Found = dict[tuple[float, int], list[Explanation]]
"""The maps of one picture by noise and samples, one for each seed."""

MEASURES = ("stability", "sparseness", "variation")


@experiment(
    "noise-grid",
    paper="Smilkov et al. 2017, arXiv:1706.03825, figures 3 and 4",
    shows="SmoothGrad's map for every noise level and number of samples, and how stable, sparse and rough it is",
)
def noise_grid(
    case: Case,
    *,
    noise: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
    samples: tuple[int, ...] = (1, 5, 10, 20, 50),
    seeds: Annotated[int, Range(2)] = 3,
    inner: str = "gradient",
) -> Outcome:
    """Maps and measures for each noise level and number of samples; the picture shows the first image.

    Args: noise: sigma as a share of x's range. samples: N. seeds: independent maps of each cell. inner: what is
    smoothed. Units of intervals are pictures where there are several, else seeds; of two seeds the stability has none.
    """
    case.check_layer(inner)
    ascending("noise", noise)
    ascending("samples", samples)
    cells = [(level, count) for level in noise for count in samples]
    makers = {cell: case.explainer("smoothgrad", inner=inner, noise=cell[0], samples=cell[1]) for cell in cells}
    step = case.count(len(case.images) * seeds * sum(count if level else 1 for level, count in cells))
    found = [_maps(case, makers, image, seeds, step) for image in case.images]
    numbers = {cell: _measured([each[cell] for each in found]) for cell in cells}
    rows = tuple((f"{100 * level:g} %", count, *numbers[level, count]) for level, count in cells)
    return Outcome(
        Table(("noise", "samples", *MEASURES), rows),
        _says(numbers, noise, samples),
        _drawn(found[0], numbers, noise, samples),
        {"inner": inner, "seeds": seeds, "images": len(case.images), "unit": _unit(case)},
    )


def _unit(case: Case) -> str:
    return "pictures" if len(case.images) > 1 else "seeds"


def _maps(
    case: Case, makers: dict[tuple[float, int], Explain], image: str, seeds: int, step: Callable[[], None]
) -> Found:
    found: Found = {}
    for (level, count), make in makers.items():
        drawn = [make.seeded(case.seed + k)(image, case.target) for k in range(seeds if level else 1)]
        found[level, count] = drawn if level else drawn * seeds  # without noise nothing is random
        for _ in range(seeds * (count if level else 1)):
            step()
    return found


def _measured(images: Sequence[Sequence[Explanation]]) -> tuple[Estimate, Estimate, Estimate]:
    """Stability, sparseness and variation: means over pictures of means over seeds; of one picture over its seeds."""
    stacks = [np.stack([each.saliency for each in maps]) for maps in images]
    stability = [_stability(maps) for maps in stacks]
    measures = [[[measure(m) for m in maps] for maps in stacks] for measure in (sparseness, total_variation)]
    single = len(stacks) == 1
    sparse, variation = (mean(found[0] if single else [float(np.mean(each)) for each in found]) for found in measures)
    steady = stability[0] if single else mean([each.value for each in stability]).within(-1, 1)
    return steady, sparse.within(0, 1), variation.within(0, math.inf)


def _stability(maps: NDArray[np.float32]) -> Estimate:
    """The mean correlation of two maps of one picture."""
    return pair_mean(correlations(maps)).within(-1, 1)


def _says(
    numbers: dict[tuple[float, int], tuple[Estimate, Estimate, Estimate]],
    noise: Sequence[float],
    samples: Sequence[int],
) -> tuple[str, ...]:
    most = samples[-1]
    smoothest = min(noise, key=lambda level: numbers[level, most][2].value)
    plain = numbers[noise[0], most][2]
    steady = numbers[noise[-1], most][0]
    return (
        f"the smoothest map of {most} samples has noise {100 * smoothest:g} %: variation "
        f"{numbers[smoothest, most][2]} against {plain} at noise {100 * noise[0]:g} %",
        f"at noise {100 * noise[-1]:g} % two maps of {most} samples correlate {steady}",
    )


def _drawn(
    found: Found,
    numbers: dict[tuple[float, int], tuple[Estimate, Estimate, Estimate]],
    noise: Sequence[float],
    samples: Sequence[int],
) -> Pixels:
    first = found[noise[0], samples[0]][0]
    levels = [f"{100 * level:g} %" for level in noise]
    cells = [[alone(found[level, count][0]) for count in samples] for level in noise]
    maps = board(cells, Labels([str(n) for n in samples], levels, "samples N", "noise"))
    image = board([[seen(first)]], Labels(["the picture"], [""]), cell=190)
    plots = [_plot(at, numbers, noise, samples) for at in range(3)]
    heading = Caption(f"SmoothGrad: noise and samples · {first.label}", detail=_detail(first))
    return figure([beside([maps, below([image, *plots], gap=14)])], heading)


def _detail(first: Explanation) -> str:
    return "Noise: standard deviation as a share of the picture's range. Bands: 95 % intervals."


def _plot(
    at: int,
    numbers: dict[tuple[float, int], tuple[Estimate, Estimate, Estimate]],
    noise: Sequence[float],
    samples: Sequence[int],
) -> Pixels:
    titles = ("Stability", "Sparseness", "Variation")
    meanings = (
        "correlation of maps of different seeds",
        "Gini index: 0 even, 1 a single pixel",
        "mean step between neighbours / mean of the map",
    )
    lines = [_curve(f"noise {100 * level:g} %", [numbers[level, n][at] for n in samples], samples) for level in noise]
    ends = (0.0, 1.0) if at == 0 else (None, None)
    y = Axis(meanings[at], *ends)
    return curves(lines, x=Axis("samples N", scale="log", ticks=samples), y=y, title=titles[at], size=(500, 262))


def _curve(label: str, estimates: Sequence[Estimate], samples: Sequence[int]) -> Curve:
    middle = [e.value for e in estimates]
    low = [e.low if e.low == e.low else e.value for e in estimates]
    high = [e.high if e.high == e.high else e.value for e in estimates]
    return Curve(label, list(samples), middle, low, high, dots=True)
