"""Run by test_cuda.py in its own process: the GPU's kernels against the processor's, on the simulator or a GPU.

Ends with 0 when they agree, with 77 where numba can do neither.
"""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.kernels import masks
from onnxsal.kernels.placement import WHOLE, Placement, mirrored, part

RNG = np.random.default_rng(0)
X, BASE = RNG.standard_normal((2, 2, 5, 3)).astype(np.float32)
GRIDS = RNG.standard_normal((3, 3, 2)).astype(np.float32)
ROWS = masks.make_rows(
    5,
    mask=[0, 2, -1, -1, 1],
    scale=[1, 0.5, 1, 0.3, 0.7],
    gain=1.2,
    offset=0.1,
    mask_noise=[0, 0.5, 0, 0.2, 0.1],
    input_noise=[0, 0, 0.7, 0.2, 0.1],
    draw=np.arange(5),
)
ELSEWHERE = Placement(mirrored(WHOLE), part(WHOLE, Fraction(1, 3), Fraction(3, 2)))


def difference(cuda, **options) -> float:
    out = np.empty((5, *X.shape), np.float32)
    masks.fill(out, X, ROWS, grids=GRIDS, key=(7, 1), **options)
    there = cuda.upload(np.zeros_like(out))
    cuda.fill(there, X, ROWS, grids=GRIDS, key=(7, 1), **options)
    return float(np.abs(there.copy_to_host() - out).max())


def main() -> int:
    try:
        from onnxsal.kernels import cuda

        cuda.check_available()
    except UnsupportedError as error:
        print(error)
        return 77
    if cuda.SIMULATED:  # so that rows are shared by several blocks, some with nothing to do and some with much
        cuda.ENOUGH, cuda.BLOCK, cuda.MOST = 11, 4, 5
    found = [difference(cuda, baseline=b, renormalise=r) for b in (None, BASE) for r in (False, True)]
    found.append(difference(cuda, placement=ELSEWHERE))
    try:
        cuda.fill(cuda.upload(np.zeros((5, *X.shape))), X, ROWS)
        found.append(np.inf)
    except UsageError:
        print("rows with a mask and no grids are refused")
    print(found)
    return int(not max(found) <= float(sys.argv[1]))


if __name__ == "__main__":
    with np.errstate(over="ignore"):  # the simulator's scalars warn of the wrap-around that the generator means
        sys.exit(main())
