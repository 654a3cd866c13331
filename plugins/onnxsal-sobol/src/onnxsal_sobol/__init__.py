"""Sobol attribution: the share of the score's variance that each cell of the picture has a part in."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Annotated

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

import onnxsal
from onnxsal.graph import Program, Trace, empty
from onnxsal.methods import Cost, Range
from onnxsal.methods.parts import divide
from onnxsal.records import Draws, HostMasks, Moments, Record

__all__ = ["design", "masks", "sobol"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@onnxsal.method(
    "sobol",
    paper="Fel et al. 2021, arXiv:2111.04138; estimator: Jansen 1999, doi:10.1016/S0010-4655(98)00154-4",
    when="the model as a black box: cells that matter alone or only together with others; no layer, no gradient",
    score="probability",
    rules=None,
    cost=Cost(lambda o, k: o["samples"] * (o["grid"] ** 2 + 1), lambda o, k: 0),
)
def sobol(
    score: Program, *, samples: Annotated[int, Range(2, 4096)] = 32, grid: Annotated[int, Range(1, 32)] = 8
) -> Record:
    """Total Sobol index of each cell: the share of the score's variance that it has a part in; [grid, grid], >= 0.

    Args:
        samples: N, pairs of masks A_j and B_j; each takes a forward pass for A_j and one for every cell.
        grid: cells a side; a mask multiplies the picture by one number in [0, 1] per cell.

    Deviation: A and B are a Latin hypercube (McKay et al. 1979) in place of Sobol's sequence, which numpy has not.
    """
    runs = samples * (grid**2 + 1)
    return Record(
        draws=Draws(masks=HostMasks(runs, partial(masks, samples=samples, grid=grid), random=False)),
        body=score,
        moments=Moments(("score",), per="mask"),
        tail=_total_indices(samples, grid),
        notes=(("samples", samples), ("grid", grid)),
    )


@lru_cache(maxsize=1)  # asked for with every batch
def design(seed: int, samples: int, cells: int) -> tuple[Doubles, Doubles]:
    """Return A and B, [samples, cells] in [0, 1): every column has one value in each of ``samples`` equal steps."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    steps = rng.permuted(np.tile(np.arange(samples), (2 * cells, 1)), axis=1).T
    places = (steps + rng.random(steps.shape)) / samples
    return places[:, :cells], places[:, cells:]


def masks(seed: int, start: int, stop: int, size: tuple[int, int], *, samples: int, grid: int) -> Floats:
    """Return masks ``start`` to ``stop``, [stop - start, H, W]: of each pair A_j, and it with one cell of B_j each."""
    a, b = design(seed, samples, grid**2)
    pairs, cells = np.divmod(np.arange(start, stop), grid**2 + 1)
    made, changed = a[pairs], np.flatnonzero(cells)
    made[changed, cells[changed] - 1] = b[pairs[changed], cells[changed] - 1]
    down, across = (np.arange(n) * grid // n for n in size)
    return made.reshape(-1, grid, grid)[:, down][:, :, across].astype(np.float32)


def _total_indices(samples: int, grid: int) -> Program:
    """Return the tail: from the score of every mask to the indices. Pairs that an early end left out do not count."""
    op, shape = empty(21), [samples, grid**2 + 1]
    scores, drawn = (
        op.Reshape(op.input(name, ir.DataType.FLOAT, [shape[0] * shape[1]]), shape) for name in ("mean/score", "drawn")
    )
    whole, changed = _parts(op, scores)
    known, also = _parts(op, drawn)
    moved, both = op.Sub(whole, changed), op.Mul(known, also)
    halves = divide(op, op.ReduceSum(op.Mul(both, op.Mul(moved, moved)), [0], keepdims=0),
                    op.Mul(op.ReduceSum(both, [0], keepdims=0), 2.0))  # fmt: skip
    return op.finish(saliency=op.Reshape(divide(op, halves, _variance(op, whole, known)), [1, grid, grid]))


def _parts(op: Trace, values: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return the first column [N, 1], which is of A, and the others [N, cells]."""
    return op.Slice(values, [0], [1], [1]), op.Slice(values, [1], [2**31], [1])


def _variance(op: Trace, values: ir.Value, known: ir.Value) -> ir.Value:
    count = op.ReduceSum(known, keepdims=0)
    apart = op.Sub(values, divide(op, op.ReduceSum(op.Mul(values, known), keepdims=0), count))
    total: ir.Value = divide(op, op.ReduceSum(op.Mul(known, op.Mul(apart, apart)), keepdims=0), op.Sub(count, 1.0))
    return total
