"""Noise in training against noise in inference: both make maps cleaner, and they add up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from glob import glob, has_magic

import numpy as np

from onnxsal.errors import UsageError
from onnxsal.experiments.base import Case, Cell, Outcome, Table, ascending, experiment
from onnxsal.experiments.drawn import alone, seen
from onnxsal.experiments.measures import share_inside
from onnxsal.experiments.scenes import Scene, is_folder, read_scenes
from onnxsal.experiments.statistics import Estimate, mean
from onnxsal.explanation import Explanation
from onnxsal.options import Samples
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.layout import Labels, beside, board, figure
from onnxsal.viz.plot import Axis, Curve, curves

_EXAMPLE = "'series/shapes-noise{noise}-seed{seed}.onnx'"
Shares = dict[tuple[float, float], dict[str, list[float]]]
"""By training and inference noise: for every model, by its seed, the shares of all scenes."""


@dataclass(frozen=True)
class _Trained:
    """A model file, the noise that it was trained with, in per cent, and its seed, empty where the names have none."""

    noise: float
    seed: str
    path: str


@dataclass(frozen=True)
class _Smoothing:
    """SmoothGrad in inference: its levels of noise, how many samples it draws, and of what method."""

    levels: Sequence[float]
    samples: int
    inner: str


@experiment(
    "training-noise",
    paper="Smilkov et al. 2017, arXiv:1706.03825, section 4.2 and figure 8 (noise at training time)",
    shows="the share of the map on the objects for models trained with more and more noise, smoothed more and more",
    takes="scenes",
    targeted=False,
)
def training_noise(
    case: Case,
    *,
    noise: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2),
    samples: Samples = 25,
    inner: str = "gradient",
    limit: Samples = 30,
) -> Outcome:
    """The share of SmoothGrad's map inside the objects, by training noise and inference noise.

    MODEL names several files: ``{noise}`` stands for the training noise in per cent, ``{seed}`` for the seed. A file's
    share is its mean over scenes; where there are several seeds, intervals are over them, else over scenes. Levels of
    training noise are compared seed by seed, those seeds that both have.

    Args: noise: sigma in inference, as a share of x's range; 0 is the plain gradient. limit: the most scenes used.
    """
    case.check_layer(inner)
    ascending("noise", noise)
    trained = _files(case.path)
    _check_seeds(trained)
    if not is_folder(case.images):
        raise UsageError("training-noise needs the objects' masks: name a folder of scenes (with a scenes.json)")
    scenes = read_scenes(case.images[0])[:limit]
    shares, shown = _measured(case, trained, scenes, _Smoothing(noise, samples, inner))
    estimates = {key: _estimate(each) for key, each in shares.items()}
    levels = sorted({each.noise for each in trained})
    rows: tuple[tuple[Cell, ...], ...] = tuple((f"{a:g} %", *(estimates[a, b] for b in noise)) for a in levels)
    return Outcome(
        Table(("training noise", *(f"inference {100 * b:g} %" for b in noise)), rows),
        _says(shares, levels, noise),
        _drawn(shown, estimates, levels, noise),
        {"models": len(trained), "scenes": len(scenes), "samples": samples, "unit": _unit(shares), "inner": inner},
    )


def _files(template: str) -> list[_Trained]:
    if "{noise}" not in template:
        raise UsageError(f"MODEL names one file for each training noise, with {{noise}} in its name, like {_EXAMPLE}")
    escaped = re.escape(template).replace(re.escape("{noise}"), r"(?P<noise>[\d.]+?)", 1)
    once = escaped.replace(re.escape("{seed}"), r"(?P<seed>[^/\\]+?)", 1)
    pattern = re.compile(once.replace(re.escape("{seed}"), r"(?P=seed)"))
    if has_magic(template):
        raise UsageError(f"MODEL {template!r}: only {{noise}} and {{seed}} are filled in, no * or ?")
    fitting = [(path, m.groupdict()) for path in series(template) if (m := pattern.fullmatch(path))]
    found = [_Trained(float(each["noise"]), each.get("seed", ""), path) for path, each in fitting]
    if len({each.noise for each in found}) < 2:
        raise UsageError(
            f"MODEL {template!r}: {len(found)} file(s) fit; at least two levels of training noise are needed "
            f"(with {{noise}} in per cent, like {_EXAMPLE})"
        )
    return sorted(found, key=lambda each: (each.noise, each.path))


def series(template: str) -> list[str]:
    """Return the files whose names may fit, whatever stands for {noise} and {seed}; one name without them as it is."""
    if "{noise}" not in template and "{seed}" not in template:
        return [template]
    return sorted(glob(template.replace("{noise}", "*").replace("{seed}", "*")))


def _check_seeds(trained: Sequence[_Trained]) -> None:
    """Raise UsageError unless the levels of noise that are compared, the least and the most, have seeds in common.

    Where both have several seeds the interval is over those in common, so that two are needed.
    """
    seeds: dict[float, set[str]] = {}
    for each in trained:
        if each.seed in seeds.setdefault(each.noise, set()):
            raise UsageError(f"{each.path!r}: there is another model of training noise {each.noise:g} % and this seed")
        seeds[each.noise].add(each.seed)
    least, most = min(seeds), max(seeds)
    needed = 2 if min(len(seeds[least]), len(seeds[most])) > 1 else 1
    if len(seeds[least] & seeds[most]) < needed:
        listed = " and ".join(f"{level:g} % has {', '.join(sorted(seeds[level]))}" for level in (least, most))
        raise UsageError(f"training noise is compared seed by seed, and {needed} in common are needed: {listed}")


def _measured(
    case: Case, trained: Sequence[_Trained], scenes: Sequence[Scene], smoothing: _Smoothing
) -> tuple[Shares, dict[tuple[float, float], Explanation]]:
    shares: Shares = {}
    shown: dict[tuple[float, float], Explanation] = {}
    step = case.count(len(trained) * len(smoothing.levels) * len(scenes))
    for each in trained:
        own = replace(case, path=each.path)
        own.of_classes("training-noise")
        for level in smoothing.levels:
            count = smoothing.samples if level else 1
            make = own.explainer("smoothgrad", inner=smoothing.inner, samples=count, noise=level)
            found = []
            for scene in scenes:
                made = make(scene.image, scene.labels[0])
                shown.setdefault((each.noise, level), made)
                found.append(share_inside(made.saliency, np.logical_or.reduce(scene.masks(made))))
                step()
            shares.setdefault((each.noise, level), {})[each.seed] = found
    return shares, shown


def _unit(shares: Shares) -> str:
    return "trained models" if min(map(len, shares.values())) > 1 else "scenes"


def _estimate(models: Mapping[str, Sequence[float]]) -> Estimate:
    of_all = list(models.values())
    found = mean([float(np.nanmean(each)) for each in of_all]) if len(of_all) > 1 else mean(of_all[0])
    return found.within(0, 1)


def _says(shares: Shares, levels: Sequence[float], noise: Sequence[float]) -> tuple[str, ...]:
    """Differences seed by seed, which leaves out what two models of one seed have in common."""
    plain, most = levels[0], levels[-1]
    trained = _gap(shares, (most, noise[0]), (plain, noise[0]))
    lines = [f"training noise {most:g} % minus {plain:g} %, inference noise {100 * noise[0]:g} %: {trained}"]
    if noise[1:]:
        best = max(noise[1:], key=lambda level: _estimate(shares[plain, level]).value)
        lines.append(
            f"inference noise {100 * best:g} % minus {100 * noise[0]:g} %, trained with {plain:g} %: "
            f"{_gap(shares, (plain, best), (plain, noise[0]))}"
        )
    top = max(shares, key=lambda key: _estimate(shares[key]).value)
    where = f"training noise {top[0]:g} %, inference noise {100 * top[1]:g} %"
    lines.append(f"most on the objects: {where}: {_estimate(shares[top])}")
    return tuple(lines)


def _gap(shares: Shares, first: tuple[float, float], second: tuple[float, float]) -> Estimate:
    """The mean difference over the seeds that both have, or over the scenes of the only one."""
    a, b = shares[first], shares[second]
    common = [seed for seed in a if seed in b]
    if len(common) > 1:
        gaps = [float(np.nanmean(a[seed]) - np.nanmean(b[seed])) for seed in common]
    else:
        gaps = [x - y for x, y in zip(a[common[0]], b[common[0]], strict=True)]
    return mean(gaps).within(-1, 1)


def _drawn(
    shown: Mapping[tuple[float, float], Explanation],
    estimates: Mapping[tuple[float, float], Estimate],
    levels: Sequence[float],
    noise: Sequence[float],
) -> Pixels:
    cells = [[alone(shown[a, b]) for b in noise] for a in levels]
    labels = Labels(
        [f"{100 * b:g} %" for b in noise], [f"{a:g} %" for a in levels], "noise in inference", "in training"
    )
    first = shown[levels[0], noise[0]]
    image = board([[seen(first)]], Labels([f"a scene: {first.label}"], [""]), cell=200)
    lines = [_curve(f"trained with {a:g} %", [estimates[a, b] for b in noise], noise) for a in levels]
    x = Axis("noise in inference, %", ticks=[100 * b for b in noise])
    plot = curves(lines, x=x, y=Axis("share of the map on the objects"), title="Map on the objects", size=(760, 360))
    heading = Caption("Noise in training and in inference", detail="Bands: 95 % intervals")
    return figure([beside([board(cells, labels, cell=170), image]), plot], heading)


def _curve(name: str, estimates: Sequence[Estimate], noise: Sequence[float]) -> Curve:
    low, high = ([getattr(e, end) if e.low == e.low else e.value for e in estimates] for end in ("low", "high"))
    return Curve(name, [100 * b for b in noise], [e.value for e in estimates], low, high, dots=True)
