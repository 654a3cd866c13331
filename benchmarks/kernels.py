"""Times the fused kernels on one core beside the same work in numpy, and the first call of a fresh installation.

    python benchmarks/kernels.py [height] [rows]

The best of several runs; on a busy machine take the ratio.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from onnxsal.kernels.masks import fill, make_rows
from onnxsal.kernels.ranges import masked_range, upsampled_range
from onnxsal.kernels.resize import bilinear

SIDE = int(sys.argv[1]) if len(sys.argv) > 1 else 224
ROWS = int(sys.argv[2]) if len(sys.argv) > 2 else 16
RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, SIDE, SIDE), np.float32)
GRIDS = RNG.random((512, 13, 13), np.float32)
OUT = np.empty((ROWS, *X.shape), np.float32)

FIRST_CALL = """
import time
from onnxsal.kernels.masks import fill, make_rows
from onnxsal.kernels.ranges import upsampled_range
import numpy as np
x, grids = np.zeros((3, 64, 64), np.float32), np.zeros((2, 7, 7), np.float32)
start, used = time.perf_counter(), time.process_time()
fill(np.empty((1, 3, 64, 64), np.float32), x, make_rows(1), grids=grids)
upsampled_range(grids, (64, 64))
print(f"{time.perf_counter() - start:.2f} s, of them {time.process_time() - used:.2f} s of processor")
"""


def best(work: Callable[[], object], runs: int = 7) -> float:
    """Return the shortest of ``runs`` times, in milliseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return min(times)


def numpy_row(mask: bool, mask_noise: bool, input_noise: bool) -> np.ndarray:
    """Return one row as numpy makes it, with numpy's own fastest generator."""
    z = X * np.float32(0.5)
    if mask or mask_noise:
        m = bilinear(GRIDS[0], X.shape[1:]) if mask else np.float32(1)
        z = X * (m + np.float32(0.5) * RNG.standard_normal(X.shape[1:], np.float32) if mask_noise else m)
    return z + np.float32(0.5) * RNG.standard_normal(X.shape, np.float32) if input_noise else z


def fill_table() -> None:
    """Print milliseconds a row of each kind of draw."""
    kinds = {"path step": {"scale": 0.5}, "mask": {"mask": np.arange(ROWS)}, "input noise": {"input_noise": 0.5}}
    kinds["mask, mask noise"] = {**kinds["mask"], "mask_noise": 0.5}
    kinds["mask, both noises"] = {**kinds["mask, mask noise"], "input_noise": 0.5}
    print(f"{'row of 3 x ' + str(SIDE) + ' x ' + str(SIDE):24} {'fused, ms':>10} {'numpy, ms':>10} {'ratio':>7}")
    for name, columns in kinds.items():
        rows = make_rows(ROWS, draw=np.arange(ROWS), **columns)
        fused = best(lambda rows=rows: fill(OUT, X, rows, grids=GRIDS)) / ROWS
        has = [column in columns for column in ("mask", "mask_noise", "input_noise")]
        peer = best(lambda has=has: [np.copyto(z, numpy_row(*has)) for z in OUT]) / ROWS
        print(f"{name:24} {fused:10.3f} {peer:10.3f} {peer / fused:7.1f}")
    rows = make_rows(ROWS, mask=np.arange(ROWS), mask_noise=0.5, draw=np.arange(ROWS))
    print(f"{'renormalised':24} {best(lambda: fill(OUT, X, rows, grids=GRIDS, renormalise=True)) / ROWS:10.3f}")


def range_table() -> None:
    """Print milliseconds for the ranges of all grids at once; numpy's memory allows it 32 at a time."""

    def peer() -> None:
        for i in range(0, len(GRIDS), 32):
            maps = bilinear(GRIDS[i : i + 32], X.shape[1:])
            maps.min(axis=(1, 2)), maps.max(axis=(1, 2))

    fused, numpys = best(lambda: upsampled_range(GRIDS, X.shape[1:])), best(peer, 2)
    print(f"{'range of 512 maps':24} {fused:10.3f} {numpys:10.3f} {numpys / fused:7.1f}")
    print(f"{'range of 512 x o H':24} {best(lambda: masked_range(X, GRIDS)):10.3f}")


def first_call() -> None:
    """Print what the first fill and range of a fresh installation cost, and those of the next process."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join([str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": path}
        for name in ("first calls, compiling", "first calls, cached"):
            run = subprocess.run([sys.executable, "-c", FIRST_CALL], env=environment, capture_output=True, check=True)
            print(f"{name:24} {run.stdout.decode().strip()}")


if __name__ == "__main__":
    fill_table()
    range_table()
    first_call()
