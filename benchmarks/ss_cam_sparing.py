"""SS-CAM from some of its masks: what foreseeing the scores of the others gains and loses beside ``estimator=neyman``.

    python benchmarks/ss_cam_sparing.py [--models squeezenet1.0_fp32.onnx] [--variant 2] [--samples 35]

Every map of a photograph is scored under so many noises of its own, once, and the scores kept in ``--cache``; runs are
then drawn from these, with replacement, so that their means are what all of them estimate. ``even``: all maps alike, by
its formula. ``neyman``: as it runs. ``spared``: a share of the masks, as Score-CAM and IS-CAM spare them under a limit,
each with all the samples that the forwards allow. ``best``: what allocation can do at most for means of draws, each of
its own map, (sum of s_k |A_k|)^2 / forwards. Errors are root mean squares of the raw map, over the norm of the map.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from score_cam_eighth import MODELS, ROOT, Scored, ours, scored

import onnxsal
from onnxsal.records import Foreseen, Moments
from onnxsal.streaming.allocation import Order
from onnxsal.streaming.moments import Accumulator
from onnxsal.streaming.stages import Stages

PHOTOS = ("0340_zebra", "0281_tabby")
SHARES = (8, 4, 2)
"""Parts of the masks: one in so many."""
FORWARDS = (0.25, 0.5, 1, 2, 4)
"""A map; the published method takes 35."""


def tabled(model: onnxsal.Model, photo: Path, how: dict[str, Any], kept: Path) -> tuple[Scored, np.ndarray]:
    """Return a photograph's maps with their mean scores, and the scores, [K, N]."""
    beside = kept.with_suffix(".table.npy")
    parts: list[tuple[np.ndarray, ...]] = []
    adding = Accumulator.adding

    def keep(self: Accumulator, outputs: Any, samples: Any, masks: Any) -> Any:
        parts.append((masks, samples, np.array(outputs["score"]).reshape(-1)))
        return adding(self, outputs, samples, masks)

    with patch.object(Accumulator, "adding", keep):
        found = scored(model, photo, how, Foreseen((0.0, 1.0)), kept)
    if parts:
        table = np.empty((len(found.scores), how["samples"]))
        for masks, samples, scores in parts:
            table[masks, samples] = scores
        np.save(beside, table)
    return found, np.load(beside)


def neyman(of: Scored, table: np.ndarray, total: int, seed: int) -> float:
    """Return the error of a run of ``estimator=neyman``."""
    rng, start = np.random.default_rng(seed), 0
    order = Order(of.maps.astype(np.float32), total, (seed, 0))
    sums = Stages(Moments(("score",), per="mask"), order)
    while True:
        some = order.masks[start:]
        scores = table[some, rng.integers(table.shape[1], size=len(some))]
        sums.add({"score": scores}, order.samples[start:], some)
        start = order.known
        if start >= total:
            return of.error(of.map(sums.totals()["mean/score"].astype(np.float64)))
        order.settle(*sums.so_far())


def spared(of: Scored, table: np.ndarray, count: int, samples: int, seed: int) -> float:
    """Return the error of a map of so many masks, each with so many samples."""
    drawn = np.random.default_rng(seed).integers(table.shape[1], size=(len(table), samples))
    noisy = Scored(of.maps, of.masks, np.take_along_axis(table, drawn, 1).mean(axis=1), of.reference, of.kind)
    *_, last = ours(noisy, count)
    return of.error(last.found)


def lines(of: Scored, table: np.ndarray, runs: int) -> Iterator[str]:
    """Yield what a photograph's scores say, by forwards."""
    sizes, spreads = np.linalg.norm(of.maps.reshape(len(table), -1), axis=1), table.std(axis=1, ddof=1)
    whole, count = np.linalg.norm(of.map(of.scores)), len(table)
    limits = [last.error for *_, last in (ours(of, count // share) for share in SHARES)]
    yield f"  {count} maps; of their means, 1 in {SHARES}: " + ", ".join(f"{100 * each:.1f}" for each in limits)
    for each in FORWARDS:
        total = round(each * count)
        found = {"best": spreads @ sizes / np.sqrt(total) / whole}
        if each >= 1:
            found["even"] = np.linalg.norm(spreads * sizes) / np.sqrt(each) / whole
            found["neyman"] = rms([neyman(of, table, total, seed) for seed in range(4 * runs)])
        for share in SHARES:
            if each * share >= 1:
                errors = [spared(of, table, count // share, round(each * share), seed) for seed in range(runs)]
                found[f"spared, 1 in {share}"] = rms(errors)
        yield f"  {each} K forwards: " + ", ".join(f"{name} {100 * value:.1f}" for name, value in found.items())


def rms(values: list[float]) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def main() -> None:
    """Print all cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the reference material")
    parser.add_argument("--models", default="mobilenet_v1_025_int8.onnx,squeezenet1.0_fp32.onnx", help="by commas")
    parser.add_argument("--photographs", default=",".join(PHOTOS), help="by commas, without suffix")
    parser.add_argument("--variant", type=int, default=1)
    parser.add_argument("--samples", type=int, default=20, help="scores of every map that are drawn from")
    parser.add_argument("--runs", type=int, default=4, help="for each error; four times as many of neyman")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "onnxsal-ss-sparing")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    how = {"method": "ss-cam", "variant": args.variant, "samples": args.samples, "estimator": "independent"}
    for name in args.models.split(","):
        model = onnxsal.load(args.shared / "models" / name, preprocess=MODELS.get(name))
        for photo in args.photographs.split(","):
            kept = args.cache / f"{Path(name).stem}-{args.variant}-{args.samples}-{photo}.npz"
            print(f"{name}, {photo}, variant {args.variant}, {args.samples} samples", flush=True)
            for line in lines(
                *tabled(model, args.shared / "images" / "imagenet" / f"{photo}.jpg", how, kept), args.runs
            ):
                print(line, flush=True)


if __name__ == "__main__":
    main()
