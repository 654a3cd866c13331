"""Make the models of the experiment ``training-noise``: ``python models/noise_series.py --out DIR``.

The recipe, shorter, with pixel noise of 0, 10 and 20 % of the range on every picture, from three seeds: each seed has
its own weights to begin with, scenes, order of them and noise; the levels of noise share all but the noise. Writes
``shapes-noise{noise}-seed{seed}.onnx``. Files that are there already are kept, so an interrupted run goes on where it
stopped, and two runs with other ``--seeds`` can work beside each other.
"""

from __future__ import annotations

import argparse
import time
from functools import lru_cache
from pathlib import Path

import onnx
import recipe
from network import for_use

NAME = "shapes-noise{noise}-seed{seed}.onnx"
SCENES, EMPTY, BATCH = 8_000, 800, 32
FIRST = 40_000_000  # first seed of the scenes


def settings(noise: int, seed: int, epochs: int) -> recipe.Settings:
    """Return what a model of the series is trained with. Args: noise: per cent of the range."""
    return recipe.Settings(
        scenes=SCENES,
        empty=EMPTY,
        epochs=epochs,
        batch=BATCH,
        sparsity=0.0,
        noise=noise / 100,
        steady=True,
        seed=seed,
        first=FIRST + seed * SCENES,
    )


@lru_cache(maxsize=1)
def drawn(seed: int) -> recipe.Images:
    """Return the scenes of a seed, which all levels of noise share."""
    return recipe.material(settings(0, seed, 0))


def make(path: Path, chosen: recipe.Settings, threads: int) -> None:
    """Train one model, write it with its settings, and print how good it is."""
    start = time.perf_counter()
    weights = recipe.train(chosen, drawn(chosen.seed), threads)
    part = path.with_suffix(".part")
    onnx.save(for_use(weights, recipe.notes(chosen, time.perf_counter() - start)), part)
    part.replace(path)
    found = recipe.accuracy(path, recipe.VALIDATION, 300)
    print(f"{path}: accuracy {found:.3f} on 300 scenes, {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--noise", type=int, nargs="+", default=[0, 10, 20], help="per cent of the range")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for seed in chosen.seeds:
        for noise in chosen.noise:
            path = chosen.out / NAME.format(noise=noise, seed=seed)
            if not path.exists():
                make(path, settings(noise, seed, chosen.epochs), chosen.threads)


if __name__ == "__main__":
    main()
