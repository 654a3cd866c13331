"""Train the bundled classifier of drawn shapes and write it with its picture: ``python models/recipe.py``.

It draws its own data (scenes.py), trains on the gradient graph that onnxsal itself writes of the network and its loss
(network.py, training.py), with no framework anywhere, measures the written file with ONNX Runtime on scenes that
nothing was fitted to, and writes shapes.onnx, demo.png and demo_mask.png beside itself. Needs what onnxsal needs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from network import SIZE, Arrays, for_training, for_use, initial, settled, statistics
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scenes import LABELS, draw_scene
from training import AdamW, Trainer, one_cycle

import onnxsal

DEMO = {"seed": 276, "size": 384, "label": LABELS.index("star"), "objects": 2}
VALIDATION, FRESH, EMPTY = 10_000_000, 20_000_000, 30_000_000  # first seeds; training starts at 0
PREPROCESS = {"colour": "RGB", "scale": 1 / 127.5, "mean": [1.0], "std": [1.0], "fit": "squash"}
Images = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """What the training depends on; it is written into the model.

    Args: empty: how many of the scenes have no object; their right answer is that every class is equally likely.
        sparsity: weight of the share of the last feature map that is active, so that maps of it are compact.
        noise: the largest standard deviation of pixel noise while training, as a share of the range.
        steady: whether every picture gets all of the noise, and not anything from none up to it. It grows to that in
            the first 40 % of the steps, because little is learned from noisy pictures at first.
        first: the seed of the first scene.
    """

    scenes: int = 16_000
    empty: int = 1_600
    epochs: int = 6
    batch: int = 64
    rate: float = 4e-3
    decay: float = 0.05
    smoothing: float = 0.02
    sparsity: float = 1.0
    noise: float = 0.05
    steady: bool = False
    seed: int = 0
    first: int = 0


def draw(first: int, count: int, objects: int | None = None) -> Images:
    """Return scenes of consecutive seeds, classes in turn, [count, H, W, 3]."""
    with get_context("spawn").Pool() as pool:
        return np.stack(pool.starmap(_image, ((first + k, objects) for k in range(count)), chunksize=100))


def _image(seed: int, objects: int | None) -> Images:
    return draw_scene(seed, size=SIZE, label=seed % len(LABELS), objects=objects).image


def to_input(images: Images) -> Floats:
    """Return pictures as the model wants them, float32 [N, 3, H, W] in -1 to 1."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - 1


def material(settings: Settings) -> Images:
    """Return the scenes to train on, those without an object last."""
    return np.concatenate([draw(settings.first, settings.scenes), draw(EMPTY, settings.empty, objects=0)])


def train(settings: Settings, images: Images, threads: int) -> Arrays:
    """Return the weights of a network trained as the settings say on the scenes of :func:`material`."""
    rng = np.random.default_rng([settings.seed, 1])
    optimizer = AdamW(initial(settings.seed), decay=settings.decay)
    trainer = Trainer(for_training(), optimizer, state=statistics(), threads=threads)
    answers, steps = _answers(settings), settings.epochs * (len(images) // settings.batch)
    for step, rows in enumerate(_batches(settings, len(images), rng)):
        grown = min(1.0, step / (0.4 * steps))
        x = _turned(to_input(images[rows]), rng)
        level = settings.noise * (grown if settings.steady else rng.random(len(x), np.float32))
        strength = np.array(settings.sparsity * grown, np.float32)
        feeds = {"picture": _noisy(x, level, rng), "answers": answers[rows], "sparsity": strength}
        loss = trainer.step(feeds, one_cycle(step, steps, settings.rate))
        if step % 25 == 0:
            print(f"  step {step} of {steps}: loss {loss:.3f}", flush=True)
    return settled(optimizer.weights, trainer.state)


def _answers(settings: Settings) -> Floats:
    """Return the right probabilities per scene: nearly one for its class, equal ones where there is no object."""
    seeds = settings.first + np.arange(settings.scenes)
    known = np.eye(len(LABELS), dtype=np.float32)[seeds % len(LABELS)]
    smooth = known + np.float32(settings.smoothing) * (np.float32(1 / len(LABELS)) - known)
    return np.concatenate([smooth, np.full((settings.empty, len(LABELS)), 1 / len(LABELS), np.float32)])


def _batches(settings: Settings, count: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    for _ in range(settings.epochs):
        order = rng.permutation(count)
        yield from order[: count // settings.batch * settings.batch].reshape(-1, settings.batch)


def _turned(x: Floats, rng: np.random.Generator) -> Floats:
    """Return a batch turned, mirrored and recoloured: the outlines, and so the answers, stay."""
    x = np.rot90(x, int(rng.integers(4)), (2, 3))
    x = x[..., ::-1] if rng.random() < 0.5 else x
    return x[:, rng.permutation(3)] * np.float32(1 if rng.random() < 0.5 else -1)


def _noisy(x: Floats, levels: float | Floats, rng: np.random.Generator) -> Floats:
    """Return a batch with noise on each pixel. Args: levels: deviations [N], or one, as shares of the range."""
    spread = np.float32(2) * np.reshape(levels, (-1, 1, 1, 1)).astype(np.float32)  # x runs from -1 to 1
    return np.ascontiguousarray(x + spread * rng.standard_normal(x.shape, np.float32))


def accuracy(path: Path, first: int, count: int = 2_000) -> float:
    """Return the share of scenes, from seed ``first`` on, that the written model names rightly."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = to_input(draw(first, count))
    found = [session.run(None, {"picture": part})[0].argmax(1) for part in np.array_split(images, count // 100)]
    return float(np.mean(np.concatenate(found) == (first + np.arange(count)) % len(LABELS)))


def notes(settings: Settings, seconds: float) -> dict[str, str]:
    """Return what the model says about itself in its metadata."""
    versions = {module.__name__: module.__version__ for module in (onnxsal, onnxruntime, onnx, np)}
    return {
        "onnxsal.preprocess": json.dumps(PREPROCESS),
        "onnxsal.labels": json.dumps(LABELS),
        "onnxsal.recipe": json.dumps({"settings": asdict(settings), "versions": versions, "seconds": round(seconds)}),
        "licence": "Apache-2.0",
    }


def write_demo(folder: Path) -> None:
    """Write demo.png and demo_mask.png: a large drawing of one scene, and the pixels of its objects in white."""
    scene = draw_scene(DEMO["seed"], size=DEMO["size"], label=DEMO["label"], objects=DEMO["objects"])
    origin = PngInfo()
    origin.add_text("scene", json.dumps(DEMO))
    Image.fromarray(scene.image).save(folder / "demo.png", optimize=True, pnginfo=origin)
    Image.fromarray(scene.mask).save(folder / "demo_mask.png", optimize=True)


def make(settings: Settings, folder: Path, threads: int) -> None:
    """Train, write, measure and record the measurement in the file itself."""
    start = time.perf_counter()
    print(f"drawing {settings.scenes + settings.empty} scenes and training {settings.epochs} epochs", flush=True)
    weights = train(settings, material(settings), threads)
    path, remarks = folder / "shapes.onnx", notes(settings, time.perf_counter() - start)
    onnx.save(for_use(weights, remarks), path)
    found = {name: accuracy(path, first) for name, first in (("validation", VALIDATION), ("fresh", FRESH))}
    onnx.save(for_use(weights, remarks | {"onnxsal.accuracy": json.dumps(found)}), path)
    write_demo(folder)
    print(f"{path}: {path.stat().st_size} bytes, accuracy {found}, {time.perf_counter() - start:.0f} s")
    if found["fresh"] <= 0.95:
        raise SystemExit("the model is not good enough: 95 % of fresh scenes are asked for")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--noise", type=float, default=Settings.noise, help="most noise while training, 0 to 1")
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--scenes", type=int, default=Settings.scenes)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    settings = Settings(scenes=chosen.scenes, epochs=chosen.epochs, noise=chosen.noise, seed=chosen.seed)
    make(settings, chosen.output, chosen.threads)


if __name__ == "__main__":
    main()
