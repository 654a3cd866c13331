"""Occlusion: what the score loses when a patch of the picture is covered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Score, X
from onnxsal.errors import UsageError
from onnxsal.graph import Program, dims
from onnxsal.graph.program import empty
from onnxsal.methods.parts import Along, By, axes_along, by_of
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
    score: Program,
    *,
    patch: Samples | None = None,
    stride: Samples | None = None,
    baseline: Any = "zero",
    by: By = "segment",
    along: Along | None = None,
) -> Record:
    """Score minus the score with a patch covered, for patches centred on a regular grid; [rows, columns], signed.

    By channels, and by cells, a number for every channel and position, [C, *S].

    Args:
        patch: side of the square in pixels, by default a seventh of the shorter side.
        stride: from centre to centre, by default half a patch. Patches at the border are cut off there.
        baseline: what covers: ``zero`` of the preprocessed input, ``black``, ``blur``, ``uniform`` or an array.
        by: what a patch covers: all channels (``segment``), or one (``cell``); ``channel``: one channel throughout, of
            one channel with several axes, as spectrograms are, a band along the first.
        along: patches lie along the ``first`` or the ``last`` axis and cover all of the others, by default along all:
            of a spectrogram they are bands, seconds, cells.
    """
    channels, *size = _shape(score)
    by, along = by_of(by, along, channels, len(size))
    cut = axes_along(None if by == "channel" else along, len(size))
    shorter = min(size[axis] for axis in cut)
    side = patch or max(round(shorter / 7), 1)
    step = stride or max(side // 2, 1)
    if max(side, step) > shorter:
        raise UsageError(
            f"options patch={side}, stride={step}: expected sides inside the picture, {' x '.join(map(str, size))}"
        )
    counts = _counts(step, cut, size)
    cells = [np.arange(n) // step if axis in cut else np.zeros(n, np.int64) for axis, n in enumerate(size)]
    if by == "channel":
        counts, cells = [1] * len(size), [np.zeros(n, np.int64) for n in size]
    apart = by != "segment"
    counts = [channels, *counts] if apart else counts
    placed = _channels if by == "channel" else partial(_cells if by == "cell" else _patches, side, step, cut)
    steps = (side, step) if by == "segment" and len(size) == 1 else None
    about = (("patch", side), ("stride", step)) if by != "channel" else ()
    head = score.extend()
    return Record(
        head=head.finish(score=head["score"]),
        draws=Draws(masks=Boxes(math.prod(counts), placed, steps=steps), baseline=baseline, channels=apart),
        body=score,
        moments=Moments(("score",), per="mask"),
        tail=_tail(counts, cells if apart else ()),
        notes=(*about, *((("by", by),) if apart else ())),
    )


def _shape(score: Program) -> tuple[int, ...]:
    """Return the channels and the positions of what is explained."""
    shape = (dims(score.inputs[X]) or ())[1:]
    if isinstance(score, Score) and score.size:
        shape = (*shape[:1], *score.size)
    known = tuple(n for n in shape if isinstance(n, int))
    if len(known) < 2 or len(known) < len(shape):
        raise UsageError("occlusion needs to know the size of the model's picture, which this one leaves open")
    return known


def _patches(side: int, step: int, cut: tuple[int, ...], numbers: Indices, size: tuple[int, ...]) -> Indices:
    """Return where patches lie, [n, rank, 2], counted row by row; those at the border reach beyond it."""
    counts = _counts(step, cut, size)
    places = np.stack(np.unravel_index(numbers, counts), axis=1)
    first = places * step + (step - side) // 2
    ends = np.stack([first, first + side], axis=2)
    for axis in set(range(len(size))) - set(cut):
        ends[:, axis] = 0, size[axis]
    return ends


def _counts(step: int, cut: tuple[int, ...], size: Sequence[int]) -> list[int]:
    """Return how many patches lie along each axis."""
    return [-(-n // step) if axis in cut else 1 for axis, n in enumerate(size)]


def _cells(side: int, step: int, cut: tuple[int, ...], numbers: Indices, size: tuple[int, ...]) -> Indices:
    """Return where patches of one channel lie, the channel first."""
    channels, places = np.divmod(numbers, math.prod(_counts(step, cut, size[1:])))
    return np.concatenate([_channels(channels, size[:1]), _patches(side, step, cut, places, size[1:])], axis=1)


def _channels(numbers: Indices, size: tuple[int, ...]) -> Indices:
    """Return where one channel lies."""
    found = np.zeros((len(numbers), len(size), 2), np.int64)
    found[:, 0, 0], found[:, 0, 1], found[:, 1:, 1] = numbers, numbers + 1, size[1:]
    return found


def _tail(counts: Sequence[int], cells: Sequence[Indices]) -> Program:
    """Return what makes the map of the scores. Args: cells: which each position is in, of maps that have them all."""
    op = empty(21)
    whole = op.input("score", ir.DataType.FLOAT, [1])
    covered, drawn = (op.input(name, ir.DataType.FLOAT, [math.prod(counts)]) for name in ("mean/score", "drawn"))
    shape = [1, *counts] if len(counts) > 1 else [1, -1]  # a row may have another length
    found = op.Reshape(op.Mul(op.Sub(whole, covered), drawn), shape)
    for axis, own in enumerate(cells, 2):
        found = op.Gather(found, op.const(own), axis=axis)
    return op.finish(saliency=found)
