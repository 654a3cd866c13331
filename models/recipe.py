"""Train the bundled classifier of drawn shapes and write it with its picture: ``python models/recipe.py``.

It draws its own data (scenes.py), trains with PyTorch on the CPU, exports with batch normalisation folded into the
convolutions, measures the written file with ONNX Runtime on scenes that nothing was fitted to, and writes
shapes.onnx, demo.png and demo_mask.png beside itself. Needs torch, onnxscript, onnx, onnxruntime, numpy and pillow.
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
import torch
from network import SIZE, Network, export, folded
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scenes import LABELS, draw_scene
from torch import Tensor, nn

DEMO = {"seed": 276, "size": 384, "label": LABELS.index("star"), "objects": 2}
VALIDATION, FRESH, EMPTY = 10_000_000, 20_000_000, 30_000_000  # first seeds; training starts at 0
PREPROCESS = {"colour": "RGB", "scale": 1 / 127.5, "mean": [1.0], "std": [1.0], "fit": "squash"}
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Settings:
    """What the training depends on; it is written into the model.

    Args: empty: how many of the scenes have no object; their right answer is that every class is equally likely.
        sparsity: weight of the share of the last feature map that is active, so that maps of it are compact.
        noise: the largest standard deviation of pixel noise while training, as a share of the range.
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
    seed: int = 0


def draw(first: int, count: int, objects: int | None = None) -> Pictures:
    """Return scenes of consecutive seeds, classes in turn, [count, H, W, 3]."""
    with get_context("spawn").Pool() as pool:
        return np.stack(pool.starmap(_picture, ((first + k, objects) for k in range(count)), chunksize=100))


def _picture(seed: int, objects: int | None) -> Pictures:
    return draw_scene(seed, size=SIZE, label=seed % len(LABELS), objects=objects).picture


def to_input(pictures: Pictures) -> Tensor:
    """Return pictures as the model wants them, float32 [N, 3, H, W] in -1 to 1."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    return values.contiguous(memory_format=torch.channels_last)


def train(settings: Settings) -> Network:
    """Return a network trained as the settings say, with batch normalisation folded."""
    torch.manual_seed(settings.seed)
    pictures = to_input(np.concatenate([draw(0, settings.scenes), draw(EMPTY, settings.empty, objects=0)]))
    answers, network = _answers(settings), Network().to(memory_format=torch.channels_last)
    steps = settings.epochs * (len(pictures) // settings.batch)
    optimizer = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, steps, pct_start=0.2)
    for step, rows in enumerate(_batches(settings, len(pictures))):
        strength = settings.sparsity * min(1.0, step / (0.4 * steps))
        loss = _loss(network, _vary(pictures[rows], settings.noise), answers[rows], strength)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"  step {step} of {steps}: loss {loss.item():.3f}", flush=True)
    return folded(network)


def _answers(settings: Settings) -> Tensor:
    """Return the right probabilities per scene: nearly one for its class, equal ones where there is no object."""
    classes = torch.arange(settings.scenes) % len(LABELS)
    known = nn.functional.one_hot(classes, len(LABELS)).float()
    smooth = known + settings.smoothing * (1 / len(LABELS) - known)
    return torch.cat([smooth, torch.full((settings.empty, len(LABELS)), 1 / len(LABELS))])


def _batches(settings: Settings, count: int) -> Iterator[Tensor]:
    for _ in range(settings.epochs):
        order = torch.randperm(count)
        yield from order[: count // settings.batch * settings.batch].split(settings.batch)


def _vary(x: Tensor, noise: float) -> Tensor:
    """Return a batch turned, mirrored, recoloured and made noisy: the outlines, and so the answers, stay."""
    x = torch.rot90(x, int(torch.randint(4, ())), (2, 3))
    x = x.flip(3) if torch.rand(()) < 0.5 else x
    x = x[:, torch.randperm(3)] * (1 if torch.rand(()) < 0.5 else -1)
    x = x + 2 * noise * torch.rand(len(x), 1, 1, 1) * torch.randn_like(x)
    return x.contiguous(memory_format=torch.channels_last)


def _loss(network: Network, x: Tensor, answers: Tensor, strength: float) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        features = network.features(x)
    features = features.float()
    logits = network.head(features.mean(dim=(2, 3)))
    return nn.functional.cross_entropy(logits, answers) + strength * _spread(features)


def _spread(features: Tensor) -> Tensor:
    """Return mean over root mean square of the summed activation: the root of the share of active positions."""
    total = features.sum(dim=1)
    return (total.mean(dim=(1, 2)) / (total.square().mean(dim=(1, 2)) + 1e-6).sqrt()).mean()


def accuracy(path: Path, first: int, count: int = 2_000) -> float:
    """Return the share of scenes, from seed ``first`` on, that the written model names rightly."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pictures = np.ascontiguousarray(to_input(draw(first, count)).numpy())
    found = [session.run(None, {"picture": part})[0].argmax(1) for part in np.array_split(pictures, count // 100)]
    return float(np.mean(np.concatenate(found) == (first + np.arange(count)) % len(LABELS)))


def notes(settings: Settings, seconds: float) -> dict[str, str]:
    """Return what the model says about itself in its metadata."""
    versions = {"torch": torch.__version__, "onnx": onnx.__version__, "numpy": np.__version__}
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
    Image.fromarray(scene.picture).save(folder / "demo.png", optimize=True, pnginfo=origin)
    Image.fromarray(scene.mask).save(folder / "demo_mask.png", optimize=True)


def make(settings: Settings, folder: Path) -> None:
    """Train, export, measure and record the measurement in the file itself."""
    start = time.perf_counter()
    print(f"drawing {settings.scenes + settings.empty} scenes and training {settings.epochs} epochs", flush=True)
    network = train(settings)
    path, remarks = folder / "shapes.onnx", notes(settings, time.perf_counter() - start)
    export(network, path, remarks)
    found = {name: accuracy(path, first) for name, first in (("validation", VALIDATION), ("fresh", FRESH))}
    export(network, path, remarks | {"onnxsal.accuracy": json.dumps(found)})
    write_demo(folder)
    print(f"{path}: {path.stat().st_size} bytes, accuracy {found}, {time.perf_counter() - start:.0f} s")
    if found["fresh"] <= 0.95:
        raise SystemExit("the model is not good enough: 95 % of fresh scenes are asked for")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--noise", type=float, default=Settings.noise, help="mean noise while training, 0 to 1")
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--scenes", type=int, default=Settings.scenes)
    parser.add_argument("--threads", type=int, default=1, help="for so small a network more than one seldom helps")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    make(Settings(scenes=chosen.scenes, epochs=chosen.epochs, noise=chosen.noise, seed=chosen.seed), chosen.output)


if __name__ == "__main__":
    main()
