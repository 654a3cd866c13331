"""Time of Score-CAM over the bare forwards that it is made of, in the same run.

    python benchmarks/score_cam.py [--model squeezenet1.0_fp32.onnx] [--preprocess caffe] [--rounds 5] [--batch 8,16]

Bare forwards run the same score program on one preallocated batch, as often as Score-CAM has maps that are not flat.
The two alternate round by round and the medians are compared, because other work on the machine slows both alike; the
processor time of this process is compared too, which other work hardly touches.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import onnxsal
from onnxsal.anatomy import TARGET, X, select

ROOT = Path(__file__).resolve().parent.parent
PHOTO = "0281_tabby"


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """How long one call takes: on the clock, and in processor time of all threads."""
    start, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - used


def bare(model: onnxsal.Model, rows: int, batch: int) -> Callable[[], None]:
    """Return a call that sends so many images through the score program, nothing else."""
    program = model.program(("bare", "probability"), lambda: select(model.anatomy, "probability"))
    session = model.session(program)
    size = (batch, model.anatomy.picture.channels, *model.size)
    feeds = {X: np.random.default_rng(0).normal(0, 1, size).astype(np.float32), TARGET: np.zeros(batch, np.int64)}
    last = {name: value[: rows % batch] for name, value in feeds.items()}

    def run() -> None:
        for _ in range(rows // batch):
            session.run(feeds)
        if rows % batch:
            session.run(last)

    return run


def compare(model: onnxsal.Model, photo: Path, batch: int, rounds: int) -> None:
    """Print the medians of both and their ratio."""

    def score_cam() -> Any:
        return onnxsal.explain(model, photo, method="score-cam", batch_size=batch)

    rows = score_cam().manifest["forwards"] - 1  # one forward is the head's
    forwards = bare(model, rows, batch)
    forwards()
    runs = [(*seconds(forwards), *seconds(score_cam)) for _ in range(rounds)]
    alone, alone_used, ours, ours_used = (median(column) for column in zip(*runs, strict=True))
    ratios = sorted(run[2] / run[0] for run in runs)
    print(
        f"{batch:5} {rows:8} {alone:8.2f} {ours:12.2f} {ours / alone:7.3f} {ratios[0]:9.3f} .. {ratios[-1]:.3f}"
        f" {ours_used / alone_used:10.3f}"
    )


def main() -> None:
    """Parse the command line and print one line a batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the reference material")
    parser.add_argument("--model", default="squeezenet1.0_fp32.onnx", help="a model of the reference material")
    parser.add_argument("--preprocess", default="caffe", help="its preprocessing")
    parser.add_argument("--rounds", type=int, default=5, help="of alternating runs")
    parser.add_argument("--batch", default="8", help="batch sizes, by commas")
    args = parser.parse_args()
    model = onnxsal.load(args.shared / "models" / args.model, preprocess=args.preprocess)
    print(
        f"{'batch':>5} {'forwards':>8} {'bare, s':>8} {'score-cam, s':>12} {'ratio':>7} {'pair by pair':>18}"
        f" {'processor':>10}"
    )
    for batch in args.batch.split(","):
        compare(model, args.shared / "images" / "imagenet" / f"{PHOTO}.jpg", int(batch), args.rounds)


if __name__ == "__main__":
    main()
