"""Train the bundled detector of drawn shapes and write it: ``python models/detector_recipe.py``.

As recipe.py does for the classifier: scenes drawn here (detector_scenes.py), loss and gradients from the graph that
onnxsal writes of the network (detector_network.py), no framework anywhere. The same settings give the same bytes where
the versions and the processor are the same.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from detector_measure import drawn as fresh
from detector_measure import mean_precision, to_input
from detector_network import CLASSES, GRIDS, SIZE, for_training, for_use, initial, settled, statistics
from detector_scenes import Answers, drawn
from layers import Arrays
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scenes import draw_objects
from training import AdamW, Trainer, one_cycle

import onnxsal

DEMO = {"seed": 80_000_050, "size": 384, "labels": [0, 0, 2]}
"""Two discs, the first one the surer, and a triangle."""
PREPROCESS = {"preset": "unit", "fit": "pad"}
FRESH = 20_000_000  # the first seed of what nothing is fitted to
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """What the training depends on; it is written into the model.

    Args: noise: the largest standard deviation of pixel noise while training, as a share of the range.
    """

    scenes: int = 6_000
    epochs: int = 8
    batch: int = 48
    rate: float = 4e-3
    decay: float = 0.05
    noise: float = 0.08
    seed: int = 0


def train(settings: Settings, answers: Answers) -> Arrays:
    """Return the weights of a network trained as the settings say. One thread, so that sums keep their order."""
    rng = np.random.default_rng([settings.seed, 1])
    optimizer = AdamW(initial(settings.seed), decay=settings.decay)
    trainer = Trainer(for_training(), optimizer, state=statistics(), threads=1)
    steps = settings.epochs * (len(answers.images) // settings.batch)
    for step, rows in enumerate(_batches(settings, len(answers.images), rng)):
        loss = trainer.step(_feeds(answers.rows(rows), settings, rng), one_cycle(step, steps, settings.rate))
        if step % 50 == 0:
            print(f"  step {step} of {steps}: loss {loss:.3f}", flush=True)
    return settled(optimizer.weights, trainer.state)


def _batches(settings: Settings, count: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    for _ in range(settings.epochs):
        order = rng.permutation(count)
        yield from order[: count // settings.batch * settings.batch].reshape(-1, settings.batch)


def _feeds(rows: dict[str, NDArray[np.generic]], settings: Settings, rng: np.random.Generator) -> dict[str, Floats]:
    """Return a batch: recoloured and noisy pictures, and weights that make the loss one per position that answers."""
    x = to_input(np.asarray(rows.pop("images"), np.uint8))[:, rng.permutation(3)]
    x = x if rng.random() < 0.5 else 1 - x
    levels = settings.noise * rng.random((len(x), 1, 1, 1), np.float32)
    feeds = {name: np.asarray(array, np.float32) for name, array in rows.items()}
    feeds["asked"] /= max(1.0, float(feeds["classes"].sum()))
    feeds["held"] /= max(1.0, float(feeds["held"].sum()))
    return feeds | {"picture": x + levels * rng.standard_normal(x.shape, np.float32)}


def notes(settings: Settings) -> dict[str, str]:
    """Return what the model says about itself in its metadata."""
    versions = {module.__name__: module.__version__ for module in (onnxsal, onnxruntime, onnx, np)}
    return {
        "onnxsal.preprocess": json.dumps(PREPROCESS),
        "onnxsal.labels": json.dumps(CLASSES),
        "onnxsal.recipe": json.dumps({"settings": asdict(settings), "versions": versions}),
        "task": "detect",
        "names": str(dict(enumerate(CLASSES))),
        "imgsz": str([SIZE, SIZE]),
        "stride": str(max(GRIDS)),
        "licence": "Apache-2.0",
    }


def write_demo(folder: Path) -> None:
    """Write demo_boxes.png and demo_boxes_mask.png: a large drawing of a scene, and its objects' numbers from 1 on."""
    scene = draw_objects(DEMO["seed"], tuple(DEMO["labels"]), size=DEMO["size"])
    origin = PngInfo()
    origin.add_text("scene", json.dumps(DEMO))
    Image.fromarray(scene.image).save(folder / "demo_boxes.png", optimize=True, pnginfo=origin)
    numbers = (scene.masks * np.arange(1, len(scene.masks) + 1, dtype=np.uint8)[:, None, None]).sum(0, dtype=np.uint8)
    Image.fromarray(numbers).save(folder / "demo_boxes_mask.png", optimize=True)


def make(settings: Settings, folder: Path) -> None:
    """Train, write, measure and record the measurement in the file itself."""
    start = time.perf_counter()
    print(f"drawing {settings.scenes} scenes and training {settings.epochs} epochs", flush=True)
    answers = drawn(0, settings.scenes)
    weights = train(settings, answers)
    path, remarks = folder / "detector.onnx", notes(settings)
    onnx.save(for_use(weights, remarks), path)
    found = round(mean_precision(path, fresh(1_000, FRESH)), 4)
    onnx.save(for_use(weights, remarks | {"onnxsal.precision": json.dumps({"mAP50": found})}), path)
    write_demo(folder)
    print(f"{path}: {path.stat().st_size} bytes, mAP at .5 {found}, {time.perf_counter() - start:.0f} s")
    if found <= 0.9:
        raise SystemExit("the model is not good enough: a mean average precision of .9 is asked for")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--scenes", type=int, default=Settings.scenes)
    chosen = parser.parse_args()
    make(Settings(scenes=chosen.scenes, epochs=chosen.epochs, seed=chosen.seed), chosen.output)


if __name__ == "__main__":
    main()
