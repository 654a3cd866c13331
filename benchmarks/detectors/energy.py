"""How much of a map lies on what was asked for, on pictures of your own: python energy.py MODEL PICTURE...

MODEL is a detector of boxes, with its MODEL.detection.json beside it where it needs one, or a map of one class, such as
a detector of text; there each connected piece above the threshold is a thing, and its box, grown as far as DB
shrinks a line of text, is asked for as a region. Of each method:

- in the box: the share of a map's energy in the explained box over the box's share of what the model sees; 1 is chance;
- on the one asked for: of the energy in the boxes of all things of that class, how much is in the explained one's.

With ``--sheets FOLDER`` every map is drawn, a sheet a picture: all of them are to be looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import onnxsal
from onnxsal.explanation.figure import compare
from onnxsal.tasks.detection import BoxPrediction

Sides = tuple[float, float, float, float]
METHODS: dict[str, dict[str, Any]] = {
    "layercam": {}, "hirescam": {}, "grad-cam": {}, "grad-cam++": {}, "gradient": {}, "smoothgrad": {"samples": 10},
    "integrated-gradients": {"steps": 10}, "occlusion": {}, "rise": {"samples": 100}, "score-cam": {"forwards": 60},
}  # fmt: skip
GROWN = 1.5
"""DB's unclip ratio: a box grows on each side by its area times this over its perimeter."""


@dataclass(frozen=True)
class Thing:
    """What a model found: how it is asked for, its class, and its box in pixels of the photograph."""

    target: Any
    kind: int
    box: Sides


@dataclass
class Figures:
    """Of one method: ratios and shares of all things, NaN of a map that is 0 everywhere."""

    ratios: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def row(self, method: str) -> str:
        """Return the table's row."""
        empty = int(np.isnan(self.ratios).sum())
        cells = _spread(self.ratios, 1), _spread(self.shares, 2), str(empty or "")
        return f"| `{method}` | {' | '.join(cells)} |"


def _spread(numbers: Sequence[float], digits: int) -> str:
    known = [n for n in numbers if not np.isnan(n)]
    return f"{np.median(known):.{digits}f} ({min(known):.{digits}f} to {max(known):.{digits}f})" if known else ""


def found(model: onnxsal.Model, picture: Path, threshold: float) -> list[Thing]:
    """Return the things on a picture, best or largest first."""
    if model.task.name == "detection":
        boxes = [each for each in model.predict(picture, top=50) if isinstance(each, BoxPrediction)]
        return [Thing(f"#{each.number}", each.index, each.box) for each in boxes]
    sample = model.prepare(picture)
    probable = model.outputs(sample.x)["probability"].reshape(model.task.grid)  # type: ignore[attr-defined]
    left, top, width, height = sample.seen.frame.box  # type: ignore[union-attr]
    scale = np.array([width / probable.shape[1], height / probable.shape[0]] * 2)
    boxes = [tuple((box * scale + [left, top] * 2).round(1).tolist()) for box in pieces(probable > threshold)]
    return [Thing(onnxsal.Region(0, box=box, pixels=True), 0, box) for box in boxes]


def pieces(inside: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """Boxes of connected pieces, the largest piece first, grown; without those of fewer than 30 positions."""
    names = np.where(inside, np.arange(1, inside.size + 1).reshape(inside.shape), 0)
    before = None
    while before is None or (names != before).any():
        before, padded = names, np.pad(names, 1)
        around = [np.roll(padded, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        names = np.where(inside, np.max(around, axis=0)[1:-1, 1:-1], 0)
    kinds, counts = np.unique(names[names > 0], return_counts=True)
    for kind in kinds[np.argsort(-counts)][: (counts >= 30).sum()]:
        rows, columns = np.nonzero(names == kind)
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        by = (right - left) * (bottom - top) * GROWN / (2 * (right - left + bottom - top))
        yield np.array([left - by, top - by, right + by, bottom + by], np.float64)


def judged(explanation: onnxsal.Explanation, thing: Thing, others: Sequence[Thing]) -> tuple[float, float | None]:
    """Return the ratio of a map and, where there are others, its share on the thing itself."""
    frame, energy = explanation.sample.seen.frame, np.abs(explanation.saliency.astype(np.float64))  # type: ignore
    cell = frame.box[2] * frame.box[3] / energy.size
    own = frame.of_box(thing.box, energy.shape) / cell
    if not energy.any():
        return float("nan"), float("nan") if others else None
    within = float((energy * own).sum() / energy.sum())
    beside = [np.clip(frame.of_box(each.box, energy.shape) / cell - own, 0, 1) for each in others]
    if not beside:
        return within / own.mean(), None
    elsewhere = float((energy * np.max(beside, axis=0)).sum() / energy.sum())
    return within / own.mean(), within / (within + elsewhere) if within + elsewhere else float("nan")


def measure(model: onnxsal.Model, picture: Path, options: argparse.Namespace, figures: dict[str, Figures]) -> None:
    """Explain the first things of a picture with each method."""
    things = [each for each in found(model, picture, options.threshold) if options.label in (None, each.kind)]
    print(f"{picture.name}: {len(things)} things", flush=True)
    maps = []
    for thing in things[: options.each]:
        others = [each for each in things if each is not thing and each.kind == thing.kind]
        for method in options.methods:
            each = onnxsal.explain(model, picture, method=method, target=thing.target, seed=1, **METHODS[method])
            ratio, share = judged(each, thing, others)
            figures[method].ratios.append(ratio)
            figures[method].shares += [] if share is None else [share]
            maps.append(each)
            said = f"{ratio:.1f}" if share is None else f"{ratio:.1f}, {share:.2f} of all"
            print(f"  {each.label}, {method}: {said}", flush=True)
    if maps and options.sheets:
        options.sheets.mkdir(parents=True, exist_ok=True)
        compare(maps).save(options.sheets / f"{picture.stem}.png")


def main() -> None:
    """Print a table of medians, with the least and the largest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"))
    parser.add_argument("--preprocess")
    parser.add_argument("--label", type=int, help="things of this class alone")
    parser.add_argument("--each", type=int, default=2, help="things of a picture that are explained")
    parser.add_argument("--threshold", type=float, default=0.3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheets", type=Path)
    options = parser.parse_args()
    given = {"size": tuple(options.size)} if options.size else {}
    preprocess = {"preprocess": options.preprocess} if options.preprocess else {}
    model = onnxsal.load(options.model, threads=options.threads, **given, **preprocess)
    figures = {method: Figures() for method in options.methods}
    for picture in options.pictures:
        measure(model, picture, options, figures)
    print("| method | in the box | on the one asked for | maps of 0 |\n| --- | ---: | ---: | ---: |")
    print("\n".join(figures[method].row(method) for method in options.methods if figures[method].ratios))
    print(f"{len(figures[options.methods[0]].ratios)} things, {len(figures[options.methods[0]].shares)} beside others")


if __name__ == "__main__":
    main()
