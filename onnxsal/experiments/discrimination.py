"""Whether a map for one of two objects lies on that object rather than on the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from onnxsal.errors import ImageError, UsageError
from onnxsal.experiments.base import Case, Explain, Outcome, Table, experiment, predicted
from onnxsal.experiments.drawn import on_image, seen
from onnxsal.experiments.measures import share_inside
from onnxsal.experiments.scenes import Scene, is_folder, mosaic, read_scenes
from onnxsal.experiments.statistics import Estimate, mean
from onnxsal.explanation import Explanation
from onnxsal.options import Samples
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.layout import Labels, beside, board, figure
from onnxsal.viz.plot import Axis, Value, values

_SHOWN = 3


@dataclass(frozen=True)
class _Judged:
    """One scene under one method: the maps for a and for b, and the share on a of the first minus of the second.

    NaN where one of the maps has nothing on either object: it lies on neither more than on the other.
    """

    maps: tuple[Explanation, Explanation]
    difference: float


@experiment(
    "discrimination",
    paper="Smilkov et al. 2017, arXiv:1706.03825, figure 6 (two objects in one picture)",
    shows="the share of the map on object a for target a minus that for target b",
    takes="scenes or pictures",
    targeted=False,
)
def discrimination(
    case: Case,
    *,
    methods: tuple[str, ...] = ("gradient", "smoothgrad", "guided-backprop", "grad-cam", "grad-cam++", "score-cam"),
    limit: Samples = 40,
) -> Outcome:
    """For each method the mean over scenes of the share on object a, for target a minus for target b.

    Of a map only what lies on a or b counts, so that its shares add up to 1; on b, for b minus for a, the difference is
    the same; a scene where a map has nothing on either object is left out. Given a folder of scenes, its two-object
    scenes of two classes are used; given photographs, two are put side by side, each under the class that the model
    sees in it alone. 1: either map lies on its own object alone; 0: the target makes no difference; below 0: the maps
    lie on the other object.

    Args: limit: the most scenes that are used.
    """
    case.check_layer(*methods)
    case.of_classes("discrimination")
    scenes = pairs(case)[:limit]
    makers = {name: case.explainer(name) for name in methods}
    step = case.count(2 * len(scenes) * len(methods))
    found = {name: [_judged(make, scene, step) for scene in scenes] for name, make in makers.items()}
    estimates = {name: _estimate(judged) for name, judged in found.items()}
    order = sorted(methods, key=lambda name: -estimates[name].value if estimates[name].n else math.inf)
    rows = tuple((name, estimates[name], _right(found[name])) for name in order)
    says = [f"{name}: {_verdict(estimates[name])}" for name in order]
    says += [line for name in order for line in _left_out(name, found[name])]
    return Outcome(
        Table(("method", "share on a, for a minus for b", "scenes above 0"), rows),
        tuple(says),
        _drawn(scenes, found, order),
        {"scenes": len(scenes), "unit": "scenes"},
    )


def _verdict(found: Estimate) -> str:
    if not found.n:
        return "a map is flat on both objects in every scene, which tells nothing"
    if not math.isfinite(found.low):
        return "one scene gives no interval, and cannot tell whether its maps follow the target"
    if found.low > 0:
        return "its maps follow the target"
    if found.high < 0:
        return "its maps lie on the other object"
    return "the target makes no difference that these scenes show"


def pairs(case: Case) -> list[Scene]:
    """Return scenes with two objects of two classes, from a folder or as mosaics of photographs.

    Raises: ImageError: the folder has none. UsageError: fewer than two photographs of different classes.
    """
    if is_folder(case.images):
        found = [s for s in read_scenes(case.images[0]) if len(s.labels) == 2 and s.labels[0] != s.labels[1]]
        if not found:
            raise ImageError(f"{case.images[0]!r} has no scene with two objects of two classes")
        return found
    return _mosaics(case)


def _mosaics(case: Case) -> list[Scene]:
    """Photographs side by side, each with the next one of another class."""
    named = [_predicted(case, image) for image in case.images]
    height, width = case.model.image_size
    found: list[Scene] = []
    for (first, a), (second, b) in zip(named, named[1:] + named[:1], strict=True):
        if a != b:
            image, numbers = mosaic([first, second], 2, (height, width))
            found.append(Scene(image, numbers, (a, b), f"mosaic {len(found)}"))
    if not found:
        raise UsageError(
            f"discrimination needs two pictures of different classes, or a folder of scenes; got {len(case.images)} "
            "picture(s), of one class to this model"
        )
    return found if len(named) > 2 else found[:1]


def _predicted(case: Case, image: str) -> tuple[Pixels, int]:
    """Return a photograph as the model sees it, and the class that it sees."""
    fitted = case.fitted(image)
    prepared = fitted.sample
    return prepared.image().image, predicted(fitted).index


def _judged(make: Explain, scene: Scene, step: Callable[[], None]) -> _Judged:
    maps = []
    for label in scene.labels:
        maps.append(make(scene.image, label))
        step()
    masks = scene.masks(maps[0])
    table = np.array([[share_inside(each.saliency, mask) for mask in masks] for each in maps])
    both = table.sum(axis=1)
    on_a = np.divide(table[:, 0], both, out=np.full(2, np.nan), where=both > 0)
    return _Judged((maps[0], maps[1]), float(on_a[0] - on_a[1]))


def _estimate(judged: Sequence[_Judged]) -> Estimate:
    return mean([each.difference for each in judged]).within(-1, 1)


def _right(judged: Sequence[_Judged]) -> str:
    known = [each.difference for each in judged if not math.isnan(each.difference)]
    return f"{sum(value > 0 for value in known)} of {len(known)}"


def _left_out(name: str, judged: Sequence[_Judged]) -> list[str]:
    count = sum(math.isnan(each.difference) for each in judged)
    if not 0 < count < len(judged):
        return []
    return [f"{name}: in {count} of {len(judged)} scenes a map has nothing on either object; they are left out"]


def _drawn(scenes: Sequence[Scene], found: dict[str, list[_Judged]], order: Sequence[str]) -> Pixels:
    best, worst = order[0], order[-1]
    names = (best,) if best == worst else (best, worst)
    cells: list[list[Pixels]] = []
    for at in range(min(_SHOWN, len(scenes))):
        row = [seen(found[best][at].maps[0])]
        row += [on_image(each) for name in names for each in found[name][at].maps]
        cells.append(row)
    columns = ["the scene", *(f"{name}, {which}" for name in names for which in ("first", "second"))]
    labels = [" / ".join(e.label for e in found[best][at].maps) for at in range(len(cells))]
    maps = board(cells, Labels(columns, labels), cell=205)
    rows = [_value(name, found[name]) for name in order]
    chart = values(
        rows, x=_axis(rows), title="Share on object a, for target a minus for target b", width=900,
    )  # fmt: skip
    return figure(
        [maps, beside([chart])], Caption("Two objects, two targets", detail=f"{len(scenes)} scenes; 95 % intervals")
    )


def _axis(rows: Sequence[Value]) -> Axis:
    from_zero = all(row.low >= 0 for row in rows)
    return Axis("1: each map on its own object; 0: the target makes no difference", 0 if from_zero else None, 1)


def _value(name: str, judged: Sequence[_Judged]) -> Value:
    found = _estimate(judged)
    known = found.low == found.low
    return Value(name, found.value, found.low if known else found.value, found.high if known else found.value)
