"""Make the models of the experiment ``training-noise``: ``python models/noise_series.py --out DIR``.

The bundled model is trained on for a little, with pixel noise of 0, 10 and 20 % of the range on every picture, by the
recipe's own pieces; three seeds draw other scenes, orders and noise. Writes ``shapes-noise{noise}-seed{seed}.onnx``.
Files that are there already are kept, so an interrupted run goes on where it stopped. A minute or two a model.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import lru_cache
from pathlib import Path

import network
import numpy as np
import onnx
import recipe
from network import FLOAT, SIZE, Arrays
from onnx import numpy_helper
from scenes import LABELS
from training import AdamW, Trainer, one_cycle

from onnxsal.graph import empty, to_proto

NAME = "shapes-noise{noise}-seed{seed}.onnx"
BUNDLED = Path(__file__).with_name("shapes.onnx")
SCENES, BATCH, EPOCHS, RATE = 2_400, 32, 2, 1e-3
FIRST = 40_000_000  # first seed of the scenes; each seed of the series has its own


def bundled() -> Arrays:
    """Return the bundled model's weights by name."""
    tensors = onnx.load(BUNDLED).graph.initializer
    return {t.name: numpy_helper.to_array(t) for t in tensors if t.name.endswith((".weight", ".bias"))}


def graph(weights: Arrays) -> onnx.ModelProto:
    """Return the network in use with its weights as inputs and the cross-entropy as ``loss``."""
    op = empty(21)
    x, answers = op.input("picture", FLOAT, ["N", 3, SIZE, SIZE]), op.input("answers", FLOAT, ["N", len(LABELS)])
    values = {name: op.input(name, FLOAT, array.shape) for name, array in weights.items()}
    net = network.Deployed(op, values)
    logits = network.classified(net, network.features(net, x))
    surprise = op.ReduceSum(op.Mul(op.LogSoftmax(logits), answers), [1], keepdims=0)
    return to_proto(op.finish(loss=op.Neg(op.ReduceMean(surprise, [0], keepdims=0))).model)


def trained(pictures: recipe.Pictures, noise: float, seed: int, threads: int) -> Arrays:
    """Return the bundled weights after some hundred steps on noisy scenes. Args: noise: as a share of the range."""
    rng = np.random.default_rng([seed, 2])
    weights = bundled()
    trainer = Trainer(graph(weights), AdamW(weights), threads=threads)
    steps, answers = EPOCHS * (len(pictures) // BATCH), np.eye(len(LABELS), dtype=np.float32)
    for step in range(steps):
        rows = rng.integers(0, len(pictures), BATCH)
        x = recipe.to_input(pictures[rows])
        x += np.float32(2 * noise) * rng.standard_normal(x.shape, np.float32)  # x runs from -1 to 1
        trainer.step({"picture": x, "answers": answers[rows % len(LABELS)]}, one_cycle(step, steps, RATE))
    return trainer.optimizer.weights


@lru_cache(maxsize=1)
def drawn(seed: int) -> recipe.Pictures:
    """Return the scenes of a seed, which all levels of noise share."""
    return recipe.draw(FIRST + seed * SCENES, SCENES)


def make(path: Path, noise: int, seed: int, threads: int) -> None:
    """Train one model, write it with its settings, and print how good it is."""
    start = time.perf_counter()
    weights = trained(drawn(seed), noise / 100, seed, threads)
    settings = {"noise": noise / 100, "seed": seed, "scenes": SCENES, "epochs": EPOCHS, "batch": BATCH, "rate": RATE}
    notes = {
        "onnxsal.preprocess": json.dumps(recipe.PREPROCESS),
        "onnxsal.labels": json.dumps(LABELS),
        "onnxsal.recipe": json.dumps({"series": settings}),
        "licence": "Apache-2.0",
    }
    part = path.with_suffix(".part")
    onnx.save(network.for_use(weights, notes), part)
    part.replace(path)
    found = recipe.accuracy(path, recipe.VALIDATION, 300)
    print(f"{path}: accuracy {found:.3f} on 300 scenes, {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--noise", type=int, nargs="+", default=[0, 10, 20], help="per cent of the range")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for seed in range(chosen.seeds):
        for noise in chosen.noise:
            path = chosen.out / NAME.format(noise=noise, seed=seed)
            if not path.exists():
                make(path, noise, seed, chosen.threads)


if __name__ == "__main__":
    main()
