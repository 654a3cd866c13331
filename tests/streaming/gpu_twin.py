"""Run by test_gpu.py in its own process: the executor on a GPU against the executor on the host, through one session.

On numba's simulator device memory is the host's, and ONNX Runtime's processor session is bound to it by address as a
CUDA session is to a GPU's. Ends with 0 when both agree, with 77 where numba can do neither.
"""

from __future__ import annotations

import os
import sys

import numpy as np
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import OutOfMemoryError, UnsupportedError
from onnxsal.kernels import cuda as kernels
from onnxsal.runtime import Session

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
X = image()
CASES = [  # as few rows as show it: the simulator starts a thread for every pixel of each
    ("score-cam", {"layer": "a2", "target": 1, "preset": "paper", "top_k": 3}),
    ("score-cam", {"layer": "a2", "target": [0, 3], "batch_size": 3, "top_k": 4}),
    ("ss-cam", {"layer": "a2", "target": 1, "samples": 2, "variant": 1, "top_k": 3}),
    ("ss-cam", {"layer": "a2", "target": 1, "samples": 2, "preset": "authors", "top_k": 2}),
    ("is-cam", {"layer": "a3", "target": 3, "samples": 2, "top_k": 2}),
    ("smoothgrad", {"target": 1, "samples": 2}),
    ("integrated-gradients", {"target": 1, "steps": 2}),
    ("occlusion", {"target": 1, "baseline": "blur", "patch": 8, "stride": 6, "batch_size": 3}),
    ("recipro-cam", {"layer": "a2", "target": 1}),
]


def maps(method: str, options: dict, *, on_gpu: bool) -> list[onnxsal.Explanation]:
    provider = "cuda" if on_gpu and not SIMULATED else "cpu"
    model = onnxsal.load(TinyNet().model(), provider=provider)
    found = onnxsal.explain(model, X, method=method, **options)
    return found if isinstance(found, list) else [found]


def bound(calls: list[int]) -> None:
    """On the simulator, let every session of the processor say that it is on a GPU; count the runs that are bound."""
    start, run = Session.__init__, Session._run_placed

    def starts(self: Session, *given, **options) -> None:
        start(self, *given, **options)
        self.on_gpu = self.on_gpu or SIMULATED

    def runs(self: Session, names, places, given):
        calls.append(next(iter(places.values())).shape[0])
        return run(self, names, places, given)

    Session.__init__, Session._run_placed = starts, runs


def short_of_memory() -> bool:
    """Whether a GPU without room for four masks halves the batch, and one without room for the maps says so."""
    upload = kernels.cuda.to_device

    def limited(values, *given, **options):
        if np.ndim(values) == 3 and len(values) > 3:  # 3 are the channels of the picture
            raise kernels._driver_error(2, "Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")
        return upload(values, *given, **options)

    options = {"target": 1, "patch": 8, "stride": 6}
    (wanted,) = maps("occlusion", options | {"batch_size": 2}, on_gpu=True)
    kernels.cuda.to_device = limited
    try:
        (found,) = maps("occlusion", options | {"batch_size": 4}, on_gpu=True)
        halved = found.manifest["batch_size"] == 2 and np.array_equal(found.raw, wanted.raw)
        maps("score-cam", {"layer": "a2", "target": 1, "top_k": 4}, on_gpu=True)
    except OutOfMemoryError as error:
        print(f"short of memory: {error}; batches are halved: {halved}")
        return bool(halved)
    finally:
        kernels.cuda.to_device = upload
    return False


def main() -> int:
    wanted = [maps(method, options, on_gpu=False) for method, options in CASES]
    calls: list[int] = []
    bound(calls)
    try:
        kernels.check_available()
        if SIMULATED:  # it starts every thread of a block; tests/kernels/cuda_twins.py has blocks of other forms
            kernels.BLOCK, kernels.MOST = 8, 2
        found = [maps(method, options, on_gpu=True) for method, options in CASES]
    except UnsupportedError as error:
        print(error)
        return 77
    worst = 0.0
    for case, ours, theirs in zip(CASES, found, wanted, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            away = float(np.abs(a.raw - b.raw).max() / np.abs(b.raw).max())
            assert b.raw.any()
            print(case, f"{away:.1e}", a.manifest["forwards"])
            worst = max(worst, away if a.manifest["forwards"] == b.manifest["forwards"] else np.inf)
    print(f"{len(calls)} runs were bound to memory of the device")
    return int(not (worst <= float(sys.argv[1]) and len(calls) > len(CASES) and short_of_memory()))


if __name__ == "__main__":
    with np.errstate(over="ignore"):  # the simulator's scalars warn of the wrap-around that the generator means
        sys.exit(main())
