"""RISE: random masks over the picture, each weighed by the score of what it leaves."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Annotated

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import X
from onnxsal.graph import Program, dims
from onnxsal.graph.program import empty
from onnxsal.methods.parts import Along, By, axes_along, by_of
from onnxsal.methods.registry import Cost, Range, Samples, method
from onnxsal.records import Cells, CoarseMasks, Draws, Moments, Record


@method(
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
    by: By = "segment",
    along: Along | None = None,
) -> Record:
    """Mean of the masks weighed by the score of the masked picture, over their mean; [H, W], in the score's range.

    By channels, and by cells, a number for every channel and position, [C, *S].

    Args:
        samples: N, the number of masks.
        grid: cells a side of the coarse grid that each mask is drawn on.
        p: the chance of a cell to stay.
        by: what masks hide: all channels of a place (``segment``), or each channel by itself (``cell``); ``channel``:
            whole channels, of one channel with several axes, as spectrograms are, bands along the first.
        along: cells lie along the ``first`` or the ``last`` axis and are all of the others, by default along all: of a
            spectrogram they are bands, seconds, cells.

    Source: masks as in section 3.2: the grid is enlarged bilinearly to one cell more than the picture and cropped at
    random. Deviation: the sum is divided by the sum of the masks at each pixel instead of by N p, its expectation.
    """
    shape = dims(score.inputs[X]) or (None,) * 4
    by, along = by_of(by, along, shape[1], len(shape) - 2)
    return Record(
        draws=Draws(masks=_masks(samples, grid, p, by, along), channels=by != "segment"),
        body=score,
        moments=Moments(("score",), per="weighted"),
        tail=_ratio(len(shape) + (by != "segment")),
        notes=(("samples", samples), ("grid", grid), ("p", p), *((("by", by),) if by != "segment" else ())),
    )


def coarse_masks(samples: int, grid: int, p: float, along: Along | None = None) -> CoarseMasks:
    """Return so many masks of ``grid`` cells a side, of which each stays with the chance p."""
    row = partial(_row, samples, p)
    enlarging, cells = partial(_enlarging, grid, along), partial(_cells, grid, p, along)
    return CoarseMasks(samples, partial(_drawn, grid, p, along), enlarging, row, grid, cells)


def _grids(grid: int, along: Along | None, rank: int) -> tuple[int, ...]:
    """Return the cells along each axis: one where a mask is the same all along it."""
    cut = axes_along(along, rank)
    return tuple(grid if axis in cut else 1 for axis in range(rank))


def _masks(samples: int, grid: int, p: float, by: By, along: Along | None = None) -> CoarseMasks:
    if by == "segment":
        return coarse_masks(samples, grid, p, along)
    cells = 1 if by == "channel" else grid
    draw, drawn = partial(_by_channel, cells, p, along), partial(_cells_by_channel, cells, p, along)
    return CoarseMasks(samples, draw, partial(_enlarging_each, cells, along), drawn=drawn)


def _by_channel(
    grid: int, p: float, along: Along | None, seed: int, start: int, stop: int, size: tuple[int, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the cells of masks that have a row of them for each channel."""
    cells, shifts = _drawn(grid, p, along, seed, start, stop, size[1:], size[:1])
    shifts = shifts if grid > 1 else np.zeros_like(shifts)
    return cells, np.concatenate([np.zeros((len(shifts), 1), np.int64), shifts], axis=1)


def _enlarging_each(grid: int, along: Along | None, size: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """Return the weights of a grid of which the first axis is channels, each by itself."""
    whole = (np.ones((n, 1)) for n in size[1:])
    return (np.eye(size[0]), *(_enlarging(grid, along, size[1:]) if grid > 1 else whole))


def _drawn(
    grid: int, p: float, along: Along | None, seed: int, start: int, stop: int, size: tuple[int, ...],
    rows: tuple[int, ...] = (),
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:  # fmt: skip
    """Return the cells of masks, and where each begins on the enlarged grid. Args: rows: how many grids each has."""
    grids = _grids(grid, along, len(size))
    cells = np.empty((stop - start, *rows, *grids), np.bool_)
    shifts = np.empty((stop - start, len(size)), np.int64)
    source = np.random.Philox(key=seed)
    rng, state = np.random.Generator(source), source.state
    for at in range(stop - start):  # putting a generator back takes a tenth of making one
        state["state"]["counter"][:] = (0, 0, 0, start + at)
        source.state = state
        cells[at] = rng.random(cells.shape[1:]) < p
        shifts[at] = [rng.integers(math.ceil(n / g)) for n, g in zip(size, grids, strict=True)]
    return cells, shifts


def _cells(grid: int, p: float, along: Along | None, size: tuple[int, ...]) -> Cells:
    """Return what ``_drawn`` draws."""
    grids = _grids(grid, along, len(size))
    return Cells(p, grids, tuple(math.ceil(n / g) for n, g in zip(size, grids, strict=True)))


def _cells_by_channel(grid: int, p: float, along: Along | None, size: tuple[int, ...]) -> Cells:
    """Return what ``_by_channel`` draws."""
    one = _cells(grid, p, along, size[1:])
    return Cells(p, (size[0], *one.shape), (1, *(one.bounds if grid > 1 else (1,) * len(one.bounds))))


def _row(samples: int, p: float, seed: int, cells: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the cells of masks along a row, and the words of which ``_drawn`` makes where they begin."""
    source = np.random.Philox(key=seed)
    rng, state = np.random.Generator(source), source.state
    drawn, words = np.empty((samples, cells), np.bool_), np.empty(samples, np.int64)
    for at in range(samples):
        state["state"]["counter"][:] = (0, 0, 0, at)
        source.state = state
        drawn[at] = rng.random(cells) < p
        words[at] = rng.integers(2**32)
    return drawn, words


def _enlarging(grid: int, along: Along | None, size: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """Return the bilinear weights of the grid enlarged to one cell more than the picture, [(grid + 1) c, grid] each.

    Cells in a row that are as many as its places are these.
    """
    if size == (grid,):
        return (np.eye(grid),)
    grids = _grids(grid, along, len(size))
    return tuple(_bilinear(g, (g + 1) * math.ceil(n / g)) for n, g in zip(size, grids, strict=True))


@lru_cache(maxsize=8)
def _bilinear(cells: int, places: int) -> NDArray[np.float64]:
    centre = (np.arange(places) + 0.5) * cells / places - 0.5
    distance = np.abs(np.clip(centre, 0, cells - 1)[:, None] - np.arange(cells))
    return np.asarray(np.maximum(1 - distance, 0))


def _ratio(axes: int) -> Program:
    op = empty(21)
    shape = [None] * (axes - 1)  # of maps that lie one behind the other too
    weighed, mean = (op.input(n, ir.DataType.FLOAT, shape) for n in ("mean/score", "mean/mask"))
    unseen = op.Equal(mean, 0.0)
    return op.finish(saliency=op.Where(unseen, 0.0, op.Div(weighed, op.Where(unseen, 1.0, mean))))
