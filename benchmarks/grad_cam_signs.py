"""Grad-CAM++ where maps have a sign: possible forms of its weights against what the places of a layer are worth.

    python benchmarks/grad_cam_signs.py PICTURES MODEL... [--pictures 8] [--layers 4] [--preprocess P]

For every model, some layers whose maps may be negative (and the automatic one) and the class that it predicts. What a
place is worth is the logit's fall when the features of that place alone are taken away: replaced by their mean over the
layer (or by 0). Each form's map is held against it by Pearson's correlation over places, before anything is enlarged.
``other way round`` counts maps whose correlation is below -0.2, ``empty`` those that are 0 everywhere. A layer with
tokens of no place is left out.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

import onnxsal
from onnxsal.anatomy import Layer
from onnxsal.anatomy.select import TARGET, X
from onnxsal.errors import OnnxsalError
from onnxsal.graph import Program
from onnxsal.graph.signs import never_negative
from onnxsal.methods.parts import trace_with_gradient
from onnxsal.methods.submodel import _in_layout

Array = NDArray[np.float64]
Form = Callable[[Array, Array], Array]
INVERTED = -0.2
PLACES = 196
"""More places than this are taken away in a regular choice of them."""


def _weights(total: Array, g: Array, least: float | None = None) -> Array:
    """Return sum ReLU(g) / (2 + total g) over places, [K, 1, 1]."""
    below = 2 + total * g
    below = below if least is None else np.maximum(below, least)
    return (np.where(below == 0, 0, np.maximum(g, 0) / np.where(below == 0, 1, below))).sum((1, 2), keepdims=True)


def _summed(a: Array) -> Array:
    return a.sum((1, 2), keepdims=True)


def _raised(a: Array) -> Array:
    return a - a.min((1, 2), keepdims=True)


def _halves(a: Array, g: Array) -> Array:
    up, down = np.maximum(a, 0), np.maximum(-a, 0)
    return _weights(_summed(up), g) * up + _weights(_summed(down), -g) * down


FORMS: dict[str, Form] = {
    "paper: sum A": lambda a, g: _weights(_summed(a), g) * a,
    "sum |A|": lambda a, g: _weights(_summed(np.abs(a)), g) * a,
    "sum A+": lambda a, g: _weights(_summed(np.maximum(a, 0)), g) * a,
    "|sum A|": lambda a, g: _weights(np.abs(_summed(a)), g) * a,
    "denominator >= 2": lambda a, g: _weights(_summed(a), g, 2.0) * a,
    "sum |A|, only A+ shown": lambda a, g: _weights(_summed(np.abs(a)), g) * np.maximum(a, 0),
    "A - min A": lambda a, g: _weights(_summed(_raised(a)), g) * _raised(a),
    "A+ and A- apart": _halves,
    "A+ and A- apart, one sum": lambda a, g: (
        _weights(_summed(np.abs(a)), g) * np.maximum(a, 0) + _weights(_summed(np.abs(a)), -g) * np.maximum(-a, 0)),
    "Grad-CAM": lambda a, g: g.mean((1, 2), keepdims=True) * a,
    "HiResCAM": lambda a, g: g * a,
    "LayerCAM": lambda a, g: np.maximum(g, 0) * a,
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A layer's maps of one picture, and the correlation of each form with what its places are worth."""

    layer: str
    negative: float
    by_form: dict[str, float]


def judge(model: onnxsal.Model, layer: Layer, image: Path, fill: str) -> Judged:
    """Return how the forms do on one picture; ``fill`` is what stands for an absent place: ``mean`` or ``zero``."""
    prepared = model.prepare(image)
    target = int(model.scores(prepared.x)[0].argmax())
    score = model.score("logit")
    op, a, g = trace_with_gradient(score, layer)
    feeds = {X: prepared.x[None], TARGET: np.array([target])}
    found = model.session(op.finish(a=a, g=g)).run(feeds)
    maps, slopes = (found[name][0].astype(np.float64) for name in ("a", "g"))
    places, worth = _worth(model, layer, prepared.x, layer.grid, target, fill)
    rows, columns = places
    by_form = {}
    for name, form in FORMS.items():
        shown = np.maximum(form(maps, slopes).sum(0), 0)[rows, columns]
        by_form[name] = float(np.corrcoef(shown, worth)[0, 1]) if np.ptp(shown) and np.ptp(worth) else float("nan")
    return Judged(layer.name, float((maps < 0).mean()), by_form)


def _worth(
    model: onnxsal.Model, layer: Layer, x: NDArray[np.float32], grid: tuple[int, int], target: int, fill: str
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], Array]:
    """Return places (rows, columns), and how far the logit falls without each."""
    session = model.session(without_places(model.score("logit"), layer, fill))
    step = max(1, int(np.ceil((grid[0] * grid[1] / PLACES) ** 0.5)))
    rows, columns = (v.ravel() for v in np.meshgrid(*(range(0, n, step) for n in grid), indexing="ij"))
    kept = np.ones((len(rows) + 1, 1, *grid), np.float32)
    kept[np.arange(len(rows)), 0, rows, columns] = 0
    scores = [
        session.run({X: np.repeat(x[None], len(part), 0), TARGET: np.full(len(part), target), KEPT: part})["score"]
        for part in np.array_split(kept, -(-len(kept) // 25))
    ]
    found = np.concatenate(scores).astype(np.float64)
    return (rows, columns), found[-1] - found[:-1]


KEPT = "sal/kept"


def without_places(score: Program, layer: Layer, fill: str) -> Program:
    """Return the program of the score in which a layer's places are absent where ``sal/kept`` [B, 1, h, w] is 0."""
    op = score.extend()
    old = op[layer.name]
    uses = [(use.node, use.idx) for use in old.uses()]
    kept = op.input(KEPT, ir.DataType.FLOAT, ["batch", 1, *layer.grid])
    maps = layer.maps(op, old)
    absent = op.ReduceMean(maps, [2, 3], keepdims=1) if fill == "mean" else op.Mul(maps, 0.0)
    mixed = op.Add(op.Mul(maps, kept), op.Mul(absent, op.Sub(1.0, kept)))
    back = _in_layout(op, mixed, layer)
    for node, index in uses:
        node.replace_input_with(index, back)
    op.graph.sort()
    return op.finish(score=op["score"])


def layers_of(model: onnxsal.Model, number: int) -> list[Layer]:
    """Return the automatic layer, and others spread over those of the model's later half whose maps may be negative."""
    score = model.score("logit").extend()
    every = [layer for layer in model.layers if not layer.dropped_tokens]
    signed = [layer for layer in every[len(every) // 2 :] if not never_negative(score[layer.name])]
    chosen = [signed[i] for i in np.unique(np.linspace(0, len(signed) - 1, number).astype(int))] if signed else []
    return list(dict.fromkeys([model.anatomy.layers.find(None), *chosen]))


def judged(model: onnxsal.Model, images: list[Path], number: int, fill: str) -> Iterator[Judged]:
    """Yield what can be judged of the layers of a model."""
    for layer in layers_of(model, number):
        try:
            yield from [judge(model, layer, image, fill) for image in images]
        except OnnxsalError as error:
            print(f"  {layer.name}: left out, {str(error)[:100]}")


def table(found: list[Judged]) -> None:
    """Print the forms under each other: mean and least correlation, maps the other way round, empty maps."""
    for title, signed in (("maps with a sign", True), ("none negative", False)):
        part = [f for f in found if bool(f.negative) == signed]
        if not part:
            continue
        share = np.mean([f.negative for f in part])
        print(f"\n{title}: {len(part)} maps of {len({f.layer for f in part})} layers, {100 * share:.0f} % negative")
        print(f"{'form':28} {'mean':>7} {'median':>7} {'least':>7} {'other way round':>16} {'empty':>6}")
        columns = defaultdict(list)
        for each in part:
            for name, value in each.by_form.items():
                columns[name].append(value)
        for name, values in columns.items():
            known = np.array([v for v in values if v == v])
            mean, median, least = (known.mean(), np.median(known), known.min()) if len(known) else (np.nan,) * 3
            turned, empty = int((known < INVERTED).sum()), len(values) - len(known)
            print(f"{name:28} {mean:7.3f} {median:7.3f} {least:7.3f} {turned:16} {empty:6}")


def main() -> None:
    """Judge the models and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--preprocess")
    parser.add_argument("--fill", choices=("mean", "zero"), default="mean")
    args = parser.parse_args()
    images = sorted(p for p in args.folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    images = [images[i] for i in np.unique(np.linspace(0, len(images) - 1, args.images).astype(int))]
    every: list[Judged] = []
    for path in args.models:
        model = onnxsal.load(path, preprocess=args.preprocess)
        print(f"\n== {path.name}")
        every += (found := list(judged(model, images, args.layers, args.fill)))
        table(found)
    if len(args.models) > 1:
        print("\n== all")
        table(every)


if __name__ == "__main__":
    main()
