"""Occlusion: what the score loses when a patch of the picture is covered."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Score, X
from onnxsal.errors import UsageError
from onnxsal.graph import Program, dims
from onnxsal.graph.program import empty
from onnxsal.methods.registry import Cost, Samples, method
from onnxsal.records import Boxes, Draws, Moments, Record

Indices = NDArray[np.int64]


@method(
    "occlusion",
    paper="Zeiler & Fergus 2013, arXiv:1311.2901, section 4.2",
    when="no gradients, no layer, any operator: what the score loses when a patch is covered; coarse",
    score="probability",
    rules=None,
    sized=True,
    cost=Cost(lambda o, k: 14 * 14 + 1, lambda o, k: 0),  # of the default patches at 224 x 224
)
def occlusion(
    score: Program, *, patch: Samples | None = None, stride: Samples | None = None, baseline: Any = "zero"
) -> Record:
    """Score minus the score with a patch covered, for patches centred on a regular grid; [rows, columns], signed.

    Args:
        patch: side of the square in pixels, by default a seventh of the shorter side.
        stride: from centre to centre, by default half a patch. Patches at the border are cut off there.
        baseline: what covers: ``zero`` of the preprocessed input, ``black``, ``blur``, ``uniform`` or an array.
    """
    size = _size(score)
    side = patch or max(round(min(size) / 7), 1)
    step = stride or max(side // 2, 1)
    if max(side, step) > min(size):
        raise UsageError(f"options patch={side}, stride={step}: the picture is {' x '.join(map(str, size))}")
    counts = tuple(-(-n // step) for n in size)
    head = score.extend()
    return Record(
        head=head.finish(score=head["score"]),
        draws=Draws(masks=Boxes(math.prod(counts), partial(_patches, side, step)), baseline=baseline),
        body=score,
        moments=Moments(("score",), per="mask"),
        tail=_tail(counts),
        notes=(("patch", side), ("stride", step)),
    )


def _size(score: Program) -> tuple[int, ...]:
    shape = score.size if isinstance(score, Score) and score.size else (dims(score.inputs[X]) or ())[2:]
    known = tuple(n for n in shape if isinstance(n, int))
    if not known or len(known) < len(shape):
        raise UsageError("occlusion needs to know the size of the model's picture, which this one leaves open")
    return known


def _patches(side: int, step: int, numbers: Indices, size: tuple[int, ...]) -> Indices:
    """Return where patches lie, [n, rank, 2], counted row by row; those at the border reach beyond it."""
    places = np.stack(np.unravel_index(numbers, [-(-n // step) for n in size]), axis=1)
    first = places * step + (step - side) // 2
    return np.stack([first, first + side], axis=2)


def _tail(counts: tuple[int, ...]) -> Program:
    op = empty(21)
    whole = op.input("score", ir.DataType.FLOAT, [1])
    covered, drawn = (op.input(name, ir.DataType.FLOAT, [math.prod(counts)]) for name in ("mean/score", "drawn"))
    return op.finish(saliency=op.Reshape(op.Mul(op.Sub(whole, covered), drawn), [1, *counts]))
