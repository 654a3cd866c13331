"""Smooth Grad-CAM++'s second contribution: maps of single feature maps of a layer, and of single neurons in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import Layer, X
from onnxsal.errors import UsageError
from onnxsal.experiments.base import Case, Outcome, Table, experiment, single
from onnxsal.experiments.drawn import on_image, seen
from onnxsal.explanation import Explanation
from onnxsal.explanation.request import Fitting
from onnxsal.explanation.target import TargetSource, resolve_target
from onnxsal.methods.parts import trace_with_gradient
from onnxsal.options import Level, Samples
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.grid import Tile, grid


@dataclass(frozen=True)
class _Activity:
    """The feature maps of a picture, [K, h, w], and what each adds to the score to first order, [K]."""

    maps: NDArray[np.float32]
    parts: NDArray[np.float64]


_WITH_NEURONS = 4


@experiment(
    "feature-maps",
    paper="Omeiza et al. 2019, arXiv:1908.01224 (maps of feature maps and neurons)",
    shows="a contact sheet: the map of the whole layer, of its strongest feature maps, and of neurons in them",
    takes="picture",
)
def feature_maps(
    case: Case,
    *,
    maps: tuple[int, ...] | None = None,
    count: Samples = 6,
    neurons: str | None = None,
    samples: Samples = 20,
    noise: Level = 0.15,
) -> Outcome:
    """Smooth Grad-CAM++ of a layer, of single feature maps, and of the strongest neuron of the first four of them.

    Args:
        maps: feature maps by number; by default the ``count`` that add most to the score (gradient times activation,
            summed over positions).
        neurons: a box ``y0:y1,x0:x1`` or a list of positions shown of each map in place of its strongest neuron.
        samples, noise: Smooth Grad-CAM++'s.
    """
    sheet = _Sheet(case, single(case), {"samples": samples, "noise": noise})
    levels = [each.name for each in sheet.fitting.request.layers]
    if len(levels) > 1:
        raise UsageError(f"feature maps are of one layer, and the model has levels {', '.join(levels)}: name one (-l)")
    whole = sheet.explained()
    layer, activity = sheet.layer, _activity(sheet.fitting, case.target)
    chosen = _chosen(maps, layer, activity, count)
    spots = {k: neurons or _strongest(activity.maps[k]) for k in chosen}
    step = case.count(1 + len(chosen) + len(chosen[:_WITH_NEURONS]))
    tiles = [Tile(seen(whole), "the picture", whole.label)]
    tiles.append(Tile(on_image(whole), "the whole layer", f"{layer.channels} feature maps"))
    step()
    for k in chosen:
        tiles.append(sheet.tile(k, _part(activity, k)))
        step()
        if k in chosen[:_WITH_NEURONS]:
            tiles.append(sheet.tile(k, f"neurons {spots[k]}", neurons=spots[k]))
            step()
    return Outcome(
        _table(activity, chosen), _says(activity, chosen), _drawn(tiles, layer, whole),
        {"layer": layer.name, "label": whole.label},
    )  # fmt: skip


@dataclass(frozen=True)
class _Sheet:
    """A picture whose maps are made one by one, with the same noise."""

    case: Case
    image: str
    options: dict[str, Any]

    @cached_property
    def fitting(self) -> Fitting:
        """What is asked of the model that is opened for the picture, and that."""
        return self.case.explainer("smooth-grad-cam++").request.fitting(self.image)

    @property
    def layer(self) -> Layer:
        """The layer that is shown."""
        return self.fitting.request.layers[0]

    def explained(self, **more: Any) -> Explanation:
        """Return the map of the layer, or of what ``maps`` and ``neurons`` choose of it."""
        return self.case.explainer("smooth-grad-cam++", **self.options, **more)(self.image, self.case.target)

    def tile(self, k: int, detail: str, **more: Any) -> Tile:
        """Return one feature map's map on the picture."""
        return Tile(on_image(self.explained(maps=(k,), **more)), f"map {k}", detail)


def _table(activity: _Activity, chosen: Sequence[int]) -> Table:
    rows = tuple(
        (k, float(activity.parts[k]), float(activity.maps[k].max()), _strongest(activity.maps[k])) for k in chosen
    )
    return Table(("map", "part of the score", "highest activation", "strongest neuron"), rows)


def _activity(fitting: Fitting, target: TargetSource) -> _Activity:
    model, layer = fitting.request.model, fitting.request.layers[0]
    sample = model.prepare(fitting.thing)
    x = sample.x
    goal = resolve_target(model, target, model.outputs(x), sample)
    op, a, g = trace_with_gradient(model.score(model.task.kind("logit"), goal), layer)
    program = op.finish(maps=a, parts=op.ReduceSum(op.Mul(a, g), [2, 3], keepdims=0))
    found = model.session(program).run({X: x[None], **goal.feeds})
    return _Activity(found["maps"][0], found["parts"][0].astype(np.float64))


def _chosen(maps: tuple[int, ...] | None, layer: Layer, activity: _Activity, count: int) -> tuple[int, ...]:
    if maps is None:
        return tuple(int(k) for k in np.argsort(-activity.parts, kind="stable")[: min(count, layer.channels)])
    wrong = [k for k in maps if not 0 <= k < layer.channels]
    if wrong or not maps:
        raise UsageError(f"option maps={maps}: layer {layer.name!r} has the feature maps 0 to {layer.channels - 1}")
    return tuple(dict.fromkeys(maps))


def _strongest(values: NDArray[np.float32]) -> str:
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return f"{row},{column}"


def _part(activity: _Activity, k: int) -> str:
    positive = float(activity.parts.clip(0).sum())
    return f"{100 * activity.parts[k] / positive:.1f} % of what speaks for it" if positive > 0 else ""


def _says(activity: _Activity, chosen: Sequence[int]) -> tuple[str, ...]:
    positive = activity.parts.clip(0)
    total = float(positive.sum())
    if total <= 0:
        return ("no feature map of this layer speaks for the class",)
    active = int((positive > 0).sum())
    return (
        f"the {len(chosen)} maps shown carry {100 * positive[list(chosen)].sum() / total:.0f} % of what speaks for the "
        f"class in this layer (gradient times activation); {active} of {len(positive)} maps speak for it at all",
    )


def _drawn(tiles: Sequence[Tile], layer: Layer, first: Explanation) -> Pixels:
    heading = Caption(f"Feature maps of {layer.name} · {first.label}", f"{100 * first.score:.1f} %")
    return grid(tiles, heading=heading, columns=min(4, len(tiles)))
