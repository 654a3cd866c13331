"""How many of several objects of one class a map finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np

from onnxsal.errors import ImageError
from onnxsal.experiments.base import Case, Explain, Outcome, Table, experiment, predicted
from onnxsal.experiments.drawn import on_image, seen
from onnxsal.experiments.measures import hit
from onnxsal.experiments.scenes import Scene, is_folder, mosaic, read_scenes
from onnxsal.experiments.statistics import Estimate, grouped_share, mean
from onnxsal.explanation import Explanation
from onnxsal.options import Range, Samples
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.layout import Labels, beside, board, figure
from onnxsal.viz.plot import Axis, Curve, Value, curves, values

_THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
_SHOWN = 4

Found = dict[str, list[Explanation]]


@experiment(
    "occurrences",
    paper="Chattopadhay et al. 2017, arXiv:1710.11063, section 4 (several occurrences); Omeiza et al. 2019",
    shows="the share of two to four objects of one class that Grad-CAM, Grad-CAM++ and Smooth Grad-CAM++ find",
    takes="scenes or pictures",
    targeted=False,
)
def occurrences(
    case: Case,
    *,
    methods: tuple[str, ...] = ("grad-cam", "grad-cam++", "smooth-grad-cam++"),
    threshold: Annotated[float, Range(0.01, 1.0)] = 0.3,
    limit: Samples = 90,
) -> Outcome:
    """For each method the share of objects inside of which the map reaches ``threshold`` of its maximum.

    Given a folder of scenes, those with two to four objects of one class are used; of each photograph, mosaics with it
    two, three and four times (every other one mirrored) on grey. Intervals take the objects of one scene as alike.

    Args: limit: the most scenes that are used.
    """
    case.check_layer(*methods)
    case.of_classes("occurrences")
    scenes = repeated(case)[:limit]
    makers = {name: case.explainer(name) for name in methods}
    step = case.count(len(scenes) * len(methods))
    found = {name: [_map(make, scene, step) for scene in scenes] for name, make in makers.items()}
    counts = sorted({len(scene.labels) for scene in scenes})
    rows = tuple(_row(name, scenes, found[name], counts, threshold) for name in methods)
    columns = ("method", *(f"{count} objects" for count in counts), "all")
    return Outcome(
        Table(columns, rows), _says(scenes, found, threshold), _drawn(scenes, found, threshold),
        {"scenes": len(scenes), "objects": sum(len(s.labels) for s in scenes), "threshold": threshold},
    )  # fmt: skip


def repeated(case: Case) -> list[Scene]:
    """Return scenes with two to four objects of one class, the numbers of objects in turn.

    Raises: ImageError: the folder has none.
    """
    if not is_folder(case.images):
        return [_mosaic(case, image, count) for image in case.images for count in (2, 3, 4)]
    found = [s for s in read_scenes(case.images[0]) if 2 <= len(s.labels) <= 4 and len(set(s.labels)) == 1]
    if not found:
        raise ImageError(f"{case.images[0]!r} has no scene with two to four objects of one class")
    return found


def _mosaic(case: Case, image: str, count: int) -> Scene:
    fitted = case.fitted(image)
    prepared = fitted.sample
    target = predicted(fitted).index
    tile = prepared.image().image
    grey = np.full_like(tile, 127)
    tiles = [tile if k % 2 == 0 else tile[:, ::-1] for k in range(count)] + [grey] * (4 - count)
    tiled, numbers = mosaic(tiles, 2, case.model.image_size)
    numbers[numbers > count] = 0
    return Scene(tiled, numbers, (target,) * count, prepared.name)


def _map(make: Explain, scene: Scene, step: Callable[[], None]) -> Explanation:
    found = make(scene.image, scene.labels[0])
    step()
    return found


def _hits(scenes: Sequence[Scene], maps: Sequence[Explanation], threshold: float) -> list[tuple[int, int]]:
    """Objects found and objects in view, scene by scene."""
    found = []
    for scene, each in zip(scenes, maps, strict=True):
        masks = [mask for mask in scene.masks(each) if mask.any()]
        found.append((sum(hit(each.saliency, mask, threshold) for mask in masks), len(masks)))
    return found


def _share(
    scenes: Sequence[Scene], maps: Sequence[Explanation], threshold: float, count: int | None = None
) -> Estimate:
    """The share of objects found; scenes of one name, mosaics of one photograph, are one group."""
    groups: dict[str, list[int]] = {}
    for scene, (found, of) in zip(scenes, _hits(scenes, maps, threshold), strict=True):
        if count is None or len(scene.labels) == count:
            totals = groups.setdefault(scene.name, [0, 0])
            totals[0], totals[1] = totals[0] + found, totals[1] + of
    return grouped_share([h for h, _ in groups.values()], [n for _, n in groups.values()])


def _row(
    name: str, scenes: Sequence[Scene], maps: Sequence[Explanation], counts: Sequence[int], threshold: float
) -> tuple[str | Estimate, ...]:
    return (name, *(_share(scenes, maps, threshold, count) for count in (*counts, None)))


def _says(scenes: Sequence[Scene], found: Found, threshold: float) -> tuple[str, ...]:
    names = list(found)
    shares = {name: _share(scenes, maps, threshold) for name, maps in found.items()}
    best = max(names, key=lambda name: shares[name].value)
    lines = [f"{best} finds most objects: {shares[best]} of them at {100 * threshold:g} % of the map's maximum"]
    for name in names:
        if name != best:
            gaps = _gaps(scenes, found[best], found[name], threshold)
            lines.append(f"{best} minus {name}, scene by scene: {gaps}")
    return tuple(lines)


def _gaps(
    scenes: Sequence[Scene], first: Sequence[Explanation], second: Sequence[Explanation], threshold: float
) -> Estimate:
    a, b = (_hits(scenes, maps, threshold) for maps in (first, second))
    groups: dict[str, list[float]] = {}
    for scene, p, q in zip(scenes, a, b, strict=True):
        if p[1]:
            groups.setdefault(scene.name, []).append((p[0] - q[0]) / p[1])
    return mean([float(np.mean(each)) for each in groups.values()]).within(-1, 1)


def _drawn(scenes: Sequence[Scene], found: Found, threshold: float) -> Pixels:
    names, picked = list(found), _picked(scenes, found, threshold)
    cells = [[seen(found[names[0]][at]), *(on_image(found[name][at]) for name in names)] for at in picked]
    labels = Labels(["the scene", *names], [f"{len(scenes[at].labels)} x {found[names[0]][at].label}" for at in picked])
    maps = board(cells, labels, cell=185)
    lines = [_curve(name, scenes, found[name]) for name in names]
    plot = curves(
        lines, x=Axis("threshold, share of the map's maximum"), y=Axis("share of objects found", None, 1),
        title="Objects found at every threshold", size=(640, 330),
    )  # fmt: skip
    rows = []
    for name in names:
        each = _share(scenes, found[name], threshold)
        rows.append(Value(name, each.value, each.low, each.high))
    chart = values(rows, x=Axis("share of objects", None, 1), title=f"At {100 * threshold:g} %", width=560)
    heading = Caption("Several objects of one class", detail=f"{len(scenes)} scenes; 95 % intervals over scenes")
    return figure([maps, beside([plot, chart])], heading)


def _picked(scenes: Sequence[Scene], found: Found, threshold: float) -> list[int]:
    """Scenes to show: where the methods differ most, then in order; numbers of objects mixed."""
    hits = np.array([[h for h, _ in _hits(scenes, maps, threshold)] for maps in found.values()])
    order = np.argsort(-np.ptp(hits, axis=0), kind="stable")
    return [int(at) for at in order[:_SHOWN]]


def _curve(name: str, scenes: Sequence[Scene], maps: Sequence[Explanation]) -> Curve:
    shares = [_share(scenes, maps, t) for t in _THRESHOLDS]
    return Curve(name, _THRESHOLDS, [s.value for s in shares], [s.low for s in shares], [s.high for s in shares])
