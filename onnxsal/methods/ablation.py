"""Maps from runs of the part above a layer alone: without one feature map, or with one position only."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Layer
from onnxsal.graph import Program
from onnxsal.graph.program import empty
from onnxsal.methods.parts import activation, combine, divide
from onnxsal.methods.registry import Cost, method
from onnxsal.methods.submodel import submodel
from onnxsal.records import Boxes, Draws, Moments, Record

Indices = NDArray[np.int64]

_ABOVE_SCORES = 1e30


@method(
    "ablation-cam",
    pools=True,
    paper="Desai & Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360",
    when="no gradients: what the score loses without each feature map; only the part above the layer runs",
    rules=None,
    cost=Cost(lambda o, k: k + 1, lambda o, k: 0),
)
def ablation_cam(score: Program, layer: Layer) -> Record:
    """ReLU of the sum over channels of (S - S without map k) / S times activation; [h, w], >= 0.

    Forwards are counted whole, though only the part above the layer runs. A score of 0 gives an empty map.
    """
    head, k, positions = score.extend(), layer.channels, math.prod(layer.grid)
    maps = activation(head, layer)
    start = head.Reshape(maps, [-1, 1, k, positions])
    return Record(
        head=head.finish(maps=maps, start=start, score=head["score"]),
        draws=Draws(masks=Boxes(k, _row)),
        varies="start",
        body=submodel(score, layer, flat=True),
        moments=Moments(("score",), per="mask"),
        tail=_ablation_tail(len(layer.grid)),
    )


def _row(numbers: Indices, size: tuple[int, ...]) -> Indices:
    """Return one row of [K, positions] for each number: a whole feature map."""
    rows = np.stack([numbers, numbers + 1], axis=1)
    return np.stack([rows, np.broadcast_to((0, size[1]), rows.shape)], axis=1)


def _ablation_tail(rank: int) -> Program:
    op = empty(21)
    maps = op.input("maps", ir.DataType.FLOAT, [1, "K", *[None] * rank])
    whole = op.input("score", ir.DataType.FLOAT, [1])
    without, drawn = (op.input(name, ir.DataType.FLOAT, ["K"]) for name in ("mean/score", "drawn"))
    weights = op.Mul(divide(op, op.Sub(whole, without), whole), drawn)
    return op.finish(saliency=combine(op, op.Reshape(weights, [1, -1, *[1] * rank]), maps))


@method(
    "recipro-cam",
    paper="Byun & Lee 2022, arXiv:2209.14074",
    when="no gradients, few runs: the score of each position of the layer alone",
    score="probability",
    rules=None,
    cost=Cost(lambda o, k: 7 * 7 + 1, lambda o, k: 0),  # of the usual grid; the layer's own is not known here
)
def recipro_cam(score: Program, layer: Layer) -> Record:
    """Score of the layer with all but one position set to 0, position by position; [h, w].

    One kept position per copy; the authors' other variant keeps a small Gaussian window around it.
    Forwards are counted whole, though only the part above the layer runs.
    """
    head = score.extend()
    return Record(
        head=head.finish(start=activation(head, layer)),
        draws=Draws(masks=Boxes(math.prod(layer.grid), _position, inside=1.0, outside=0.0)),
        varies="start",
        body=submodel(score, layer),
        moments=Moments(("score",), per="mask"),
        tail=_grid_tail(layer.grid),
    )


def _position(numbers: Indices, size: tuple[int, ...]) -> Indices:
    first = np.stack(np.unravel_index(numbers, size), axis=1)
    return np.stack([first, first + 1], axis=2)


def _grid_tail(grid: tuple[int, ...]) -> Program:
    """Return the scores as a map; a position that was not drawn is as cold as the coldest that was: 0 may be hot."""
    op = empty(21)
    scores, count = (op.input(name, ir.DataType.FLOAT, [math.prod(grid)]) for name in ("mean/score", "drawn"))
    drawn = op.Greater(count, 0.5)
    lowest = op.ReduceMin(op.Where(drawn, scores, _ABOVE_SCORES), keepdims=0)
    return op.finish(saliency=op.Reshape(op.Where(drawn, scores, lowest), [1, *grid]))
