"""RISE: random masks over the picture, each weighed by the score of what it leaves."""

from __future__ import annotations

import functools
import math
from typing import Annotated

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

import onnxsal
from onnxsal.graph import Program, empty
from onnxsal.methods import Cost, Range, Samples
from onnxsal.records import Draws, HostMasks, Moments, Record

__all__ = ["masks", "rise"]

Floats = NDArray[np.float32]


@onnxsal.method(
    "rise",
    paper="Petsiuk et al. 2018, arXiv:1806.07421, eq. 6",
    when="the model as a black box: thousands of forward passes, no layer, no gradient",
    score="probability",
    rules=None,
    cost=Cost(lambda o, k: o["samples"], lambda o, k: 0),
)
def rise(
    score: Program,
    *,
    samples: Samples = 4000,
    grid: Annotated[int, Range(2, 64)] = 7,
    p: Annotated[float, Range(0.01, 0.99)] = 0.5,
) -> Record:
    """Mean of the masks weighed by the score of the masked picture, over their mean; [H, W], in the score's range.

    Args:
        samples: N, the number of masks.
        grid: cells a side of the coarse grid that each mask is drawn on.
        p: the chance of a cell to stay.

    Source: masks as in section 3.2: the grid is enlarged bilinearly to one cell more than the picture and cropped at
    random. Deviation: the sum is divided by the sum of the masks at each pixel instead of by N p, its expectation.
    """
    return Record(
        draws=Draws(masks=HostMasks(samples, functools.partial(masks, grid=grid, p=p))),
        body=score,
        moments=Moments(("score",), per="weighted"),
        tail=_ratio(),
        notes=(("samples", samples), ("grid", grid), ("p", p)),
    )


def masks(seed: int, start: int, stop: int, size: tuple[int, int], *, grid: int = 7, p: float = 0.5) -> Floats:
    """Return masks ``start`` to ``stop`` of a seed, [stop - start, H, W] in [0, 1]; mask k is the same in any batch."""
    return np.stack([_mask(seed, k, size, grid, p) for k in range(start, stop)])


def _mask(seed: int, k: int, size: tuple[int, int], grid: int, p: float) -> Floats:
    rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, k]))
    cells = (rng.random((grid, grid)) < p).astype(np.float64)
    rows, columns = (_enlarging(n, grid, int(rng.integers(math.ceil(n / grid)))) for n in size)
    return (rows @ cells @ columns.T).astype(np.float32)


def _enlarging(size: int, grid: int, shift: int) -> NDArray[np.float64]:
    """Return the bilinear weights [size, grid] of a window, ``shift`` pixels in, of the enlarged grid."""
    full = (grid + 1) * math.ceil(size / grid)
    centre = (np.arange(shift, shift + size) + 0.5) * grid / full - 0.5
    distance = np.abs(np.clip(centre, 0, grid - 1)[:, None] - np.arange(grid))
    return np.asarray(np.maximum(1 - distance, 0))


def _ratio() -> Program:
    op = empty(21)
    weighed, mean = (op.input(n, ir.DataType.FLOAT, [1, None, None]) for n in ("mean/score", "mean/mask"))
    unseen = op.Equal(mean, 0.0)
    return op.finish(saliency=op.Where(unseen, 0.0, op.Div(weighed, op.Where(unseen, 1.0, mean))))
