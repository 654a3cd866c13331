"""Measure a classifier of drawn shapes as README.md's table has it: ``python models/measure.py [MODEL.onnx]``.

Every scene's seed is one that nothing was fitted to. Maps are the plain class activation map, from the weights of the
linear layer: exact for this network, and no method of onnxsal's that would measure itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from recipe import EMPTY, to_input
from scenes import LABELS, Scene, draw_pair, draw_scene

FIRST = 60_000_000
MAPS = "block3/relu"
REACHED = 0.3
"""The share of a map's peak from which on it counts as being on an object."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """The model with its last feature maps as a second output, and the weights of its linear layer."""

    session: onnxruntime.InferenceSession
    weights: Floats

    def seen(self, scenes: Sequence[Scene]) -> Iterator[tuple[Scene, Floats, Floats]]:
        """Yield every scene with its probabilities [classes] and feature maps [K, h, w]."""
        for start in range(0, len(scenes), 50):
            part = scenes[start : start + 50]
            x = to_input(np.stack([scene.image for scene in part]))
            logits, maps = self.session.run(["logits", MAPS], {"picture": x})
            odds = np.exp(logits - logits.max(1, keepdims=True))
            yield from zip(part, odds / odds.sum(1, keepdims=True), maps, strict=True)

    def map(self, maps: Floats, label: int, against: int | None = None) -> Floats:
        """Return the activation map of a class, or of one minus another, at the size of the picture, [H, W]."""
        weight = self.weights[label] - (0 if against is None else self.weights[against])
        raw = np.maximum(np.tensordot(weight, maps, 1), 0).astype(np.float32)
        return np.asarray(Image.fromarray(raw).resize((96, 96), Image.Resampling.BILINEAR))


def opened(path: Path) -> Classifier:
    """Return the classifier in a file."""
    model = onnx.load(path)
    weights = next(onnx.numpy_helper.to_array(w) for w in model.graph.initializer if w.name == "head.weight")
    model.graph.output.append(onnx.helper.make_tensor_value_info(MAPS, onnx.TensorProto.FLOAT, None))
    return Classifier(
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]), weights
    )


def drawn(count: int, first: int = FIRST, *, objects: int | None = None, noise: float = 0.0) -> list[Scene]:
    """Return scenes of consecutive seeds, classes in turn."""
    return [draw_scene(first + k, label=k % len(LABELS), objects=objects, noise=noise) for k in range(count)]


def named(model: Classifier, scenes: Sequence[Scene]) -> float:
    """Return the share of scenes named rightly."""
    return mean(int(p.argmax()) == scene.label for scene, p, _ in model.seen(scenes))


def surest(model: Classifier, scenes: Sequence[Scene]) -> float:
    """Return the median of the highest probability."""
    return median(float(p.max()) for _, p, _ in model.seen(scenes))


def inside(model: Classifier, scenes: Sequence[Scene]) -> float:
    """Return the median share of the map of the scene's class that lies in its mask."""
    maps = ((scene, model.map(a, scene.label)) for scene, _, a in model.seen(scenes))
    return median(float(m[scene.mask].sum() / max(m.sum(), 1e-30)) for scene, m in maps)


def reached(model: Classifier, scenes: Sequence[Scene]) -> float:
    """Return the share of objects on which the map reaches REACHED of its peak."""
    maps = ((scene, model.map(a, scene.label)) for scene, _, a in model.seen(scenes))
    return mean(bool(m[mask].max() >= REACHED * m.max() > 0) for scene, m in maps for mask in scene.masks)


def told_apart(model: Classifier, pairs: Sequence[Scene]) -> float:
    """Return the share of two-class scenes where more of the map of a minus b lies on a than on b."""
    maps = ((scene, model.map(a, *scene.labels)) for scene, _, a in model.seen(pairs))
    return mean(bool(m[scene.masks[0]].sum() > m[scene.masks[1]].sum()) for scene, m in maps)


def rows(model: Classifier, path: Path) -> Iterator[tuple[str, str]]:
    """Yield the table's rows, as they are known."""
    meta = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    accuracy = json.loads(meta["onnxsal.accuracy"]) if "onnxsal.accuracy" in meta else {}
    yield (
        "accuracy (2000 fresh scenes; 2000 validation scenes)",
        "; ".join(f"{100 * accuracy[name]:.1f} %" for name in ("fresh", "validation") if name in accuracy),
    )
    noisy = [f"{100 * named(model, drawn(300, noise=sigma)):.1f}" for sigma in (0.05, 0.1, 0.2)]
    yield "with pixel noise of 5 / 10 / 20 % of the range (300)", f"{' / '.join(noisy)} %"
    sure = f"{surest(model, drawn(300)):.2f}, {surest(model, drawn(100, EMPTY + FIRST, objects=0)):.2f}"
    yield "probability of the named class, median: with objects, without any object (300, 100)", sure
    scenes = drawn(300)
    cover = 100 * mean(float(scene.mask.mean()) for scene in scenes)
    name = "share of the plain class activation map inside the mask, median"
    yield f"{name} (300; masks cover {cover:.1f} %)", f"{inside(model, scenes):.2f}"
    counted = {n: drawn(100, objects=n) for n in (1, 2, 3, 4)}
    yield "the same with 1 / 2 / 3 / 4 objects (100 each)", _each(counted, lambda s: f"{inside(model, s):.2f}")
    found = _each(counted, lambda s: f"{100 * reached(model, s):.0f}")
    yield "objects that the map reaches with 30 % of its peak, 1 / 2 / 3 / 4 objects", f"{found} %"
    pairs = [draw_pair(FIRST + k) for k in range(200)]
    apart = f"{100 * told_apart(model, pairs):.1f} %"
    yield "two classes: scenes where the map of a minus b lies mostly on a (200)", apart
    yield "file", f"{path.stat().st_size / 1000:.0f} kB"


def _each(counted: dict[int, list[Scene]], value: Callable[[list[Scene]], str]) -> str:
    return " / ".join(value(scenes) for scenes in counted.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, default=Path(__file__).with_name("shapes.onnx"))
    path = parser.parse_args().model
    for what, value in rows(opened(path), path):
        print(f"| {what} | {value} |", flush=True)


if __name__ == "__main__":
    main()
