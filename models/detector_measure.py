"""Measure a detector of drawn shapes on scenes nothing was fitted to: ``python models/detector_measure.py [MODEL]``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from detector_network import CLASSES
from detector_scenes import known, objects
from numpy.typing import NDArray
from scenes import Scene

FIRST = 70_000_000
LEAST = 0.001
OVERLAP = 0.5

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Boxes:
    """Boxes of one picture, surest first.

    Shapes: boxes [n, 4], left, top, right and bottom in pixels; classes and scores [n].
    """

    boxes: Floats
    classes: NDArray[np.int64]
    scores: Floats

    def above(self, least: float) -> Boxes:
        """Return the boxes whose score is above this."""
        keep = self.scores > least
        return Boxes(self.boxes[keep], self.classes[keep], self.scores[keep])


def read(output: Floats, *, least: float = LEAST) -> Boxes:
    """Return the boxes in the output [4 + K, P] of one picture, of those of a class that overlap the surest one."""
    middle, extent, scores = output[:2].T, output[2:4].T, output[4:]
    sides = np.concatenate([middle - extent / 2, middle + extent / 2], 1)
    classes, positions = np.nonzero(scores > least)
    order = np.argsort(-scores[classes, positions], kind="stable")
    classes, positions = classes[order], positions[order]
    kept = _surest(sides[positions], classes)
    return Boxes(sides[positions[kept]], classes[kept], scores[classes[kept], positions[kept]])


def _surest(boxes: Floats, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which boxes no surer box of their class overlaps; they come surest first."""
    over = (overlaps(boxes, boxes) > OVERLAP) & (classes[:, None] == classes)
    alive = np.ones(len(boxes), bool)
    for k in range(len(boxes)):
        if alive[k]:
            alive[k + 1 :] &= ~over[k, k + 1 :]
    return np.flatnonzero(alive)


def overlaps(some: Floats, others: Floats) -> Floats:
    """Return intersection over union of boxes, [n, m]."""
    start, end = np.maximum(some[:, None, :2], others[:, :2]), np.minimum(some[:, None, 2:], others[:, 2:])
    shared = (end - start).clip(0).prod(2)
    areas = [(each[:, 2:] - each[:, :2]).prod(1) for each in (some, others)]
    return np.float32(shared / (areas[0][:, None] + areas[1] - shared).clip(1e-9))


def average_precision(found: Sequence[Boxes], scenes: Sequence[Scene], label: int) -> float:
    """Return the area under precision over recall of a class, every box in turn held against the object at IoU .5."""
    marks = [_marks(boxes, scene, label) for boxes, scene in zip(found, scenes, strict=True)]
    scores, right = (np.concatenate(column) for column in zip(*marks, strict=True))
    right = right[np.argsort(-scores, kind="stable")]
    total = sum(int((known(scene) == label).sum()) for scene in scenes)
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * right).sum() / total)


def _marks(found: Boxes, scene: Scene, label: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the scores of a class's boxes, and whether each is the first one on an object."""
    mine = found.classes == label
    truth = scene.boxes[known(scene) == label]
    right, taken = np.zeros(int(mine.sum()), bool), set()
    for k, row in enumerate(overlaps(found.boxes[mine], truth)):
        best = int(row.argmax()) if len(row) else -1
        if best >= 0 and row[best] >= OVERLAP and best not in taken:
            right[k] = True
            taken.add(best)
    return found.scores[mine], right


def detected(path: Path, scenes: Sequence[Scene]) -> list[Boxes]:
    """Return what the written model finds in each scene."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: list[Boxes] = []
    for start in range(0, len(scenes), 50):
        images = np.stack([scene.image for scene in scenes[start : start + 50]])
        (output,) = session.run(["output0"], {"images": to_input(images)})
        found += [read(each) for each in output]
    return found


def to_input(images: NDArray[np.uint8]) -> Floats:
    """Return pictures as the detector wants them, float32 [N, 3, H, W] from 0 to 1."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def drawn(count: int, first: int = FIRST, *, noise: float = 0.0) -> list[Scene]:
    """Return scenes of consecutive seeds."""
    return [objects(first + k, noise=noise) for k in range(count)]


def mean_precision(path: Path, scenes: Sequence[Scene]) -> float:
    """Return the mean over the classes of :func:`average_precision`."""
    found = detected(path, scenes)
    return float(np.mean([average_precision(found, scenes, k) for k in range(len(CLASSES))]))


def rows(path: Path, count: int) -> Iterator[tuple[str, str]]:
    """Yield README.md's rows, as they are known."""
    scenes = drawn(count)
    found = detected(path, scenes)
    each = [average_precision(found, scenes, k) for k in range(len(CLASSES))]
    named = ", ".join(f"{name} {value:.3f}" for name, value in zip(CLASSES, each, strict=True))
    yield f"mean average precision at IoU .5 ({count} scenes)", f"{np.mean(each):.3f} ({named})"
    noisy = [f"{mean_precision(path, drawn(count // 4, noise=sigma)):.3f}" for sigma in (0.05, 0.1, 0.2)]
    yield f"with pixel noise of 5 / 10 / 20 % of the range ({count // 4})", " / ".join(noisy)
    sure = [boxes.above(0.25) for boxes in found]
    exact = [_marks(boxes, scene, k) for boxes, scene in zip(sure, scenes, strict=True) for k in range(len(CLASSES))]
    right, total = sum(int(marks.sum()) for _, marks in exact), sum(len(scene.labels) for scene in scenes)
    yield "objects found, and boxes that are on one, at a score above .25", f"{right / total:.3f}, {_share(exact):.3f}"
    yield "file", f"{path.stat().st_size / 1000:.0f} kB"


def _share(exact: Sequence[tuple[Floats, NDArray[np.bool_]]]) -> float:
    return float(np.concatenate([right for _, right in exact]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, default=Path(__file__).with_name("detector.onnx"))
    parser.add_argument("--count", type=int, default=2_000)
    chosen = parser.parse_args()
    for what, value in rows(chosen.model, chosen.count):
        print(f"| {what} | {value} |", flush=True)


if __name__ == "__main__":
    main()
