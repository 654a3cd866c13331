"""Train the models of the experiment ``training-noise``: ``python models/noise_series.py --out DIR``.

A short form of the recipe (recipe.py) at each level of training noise, several seeds each; writes
``shapes-noise{noise}-seed{seed}.onnx`` with the noise in per cent. Files that are there already are kept, so an
interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import functools
import time
from pathlib import Path

import onnx
import recipe

SCENES, EMPTY, EPOCHS = 4_000, 400, 5
NAME = "shapes-noise{noise}-seed{seed}.onnx"


def make(path: Path, noise: int, seed: int, threads: int) -> None:
    """Train one model and write it with its settings."""
    start = time.perf_counter()
    settings = recipe.Settings(scenes=SCENES, empty=EMPTY, epochs=EPOCHS, noise=noise / 100, seed=seed)
    weights = recipe.train(settings, threads)
    part = path.with_suffix(".part")
    onnx.save(recipe.for_use(weights, recipe.notes(settings, time.perf_counter() - start)), part)
    part.replace(path)
    found = recipe.accuracy(path, recipe.VALIDATION, 500)
    print(f"{path}: accuracy {found:.3f} on validation scenes, {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--noise", type=int, nargs="+", default=[0, 10, 20], help="per cent of the range")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    recipe.draw = functools.cache(recipe.draw)  # every model sees the same scenes: drawn once, not nine times
    for seed in range(chosen.seeds):
        for noise in chosen.noise:
            path = chosen.out / NAME.format(noise=noise, seed=seed)
            if not path.exists():
                make(path, noise, seed, chosen.threads)


if __name__ == "__main__":
    main()
