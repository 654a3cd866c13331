"""What a compiled file computes of dense scores: which positions are whose, and means over them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import COEFFICIENTS, TARGET
from onnxsal.graph import Tape
from onnxsal.tasks.dense.scores import DenseScores
from onnxsal.tasks.dense.seen import SURE
from onnxsal.tasks.task import Fed, Place

FED = "input"
"""The target that a compiled file takes as an input."""

FED_REGION = Fed("region", ir.DataType.BOOL, (), by_place=True)
"""The region that a compiled file takes: where it is true, in pixels of its picture."""

MEANS = (
    "bool [B, height, width], true where the class is asked for, in pixels of the model's picture: the mean over the "
    "positions of the output under it, each by the part that is covered; NaN where none is"
)


def counted_in(op: Tape, scores: DenseScores, place: Place) -> ir.Value:
    """Return how much each position counts of a region that is fed, float32 [B, positions]: as ``Frame.of_mask`` says.

    A pixel's part of a position is a product over the axes, so that each axis is summed by itself, the last first.
    """
    found, rank = op.Cast(place.region, to=ir.DataType.FLOAT), len(scores.grid)
    for axis, own in reversed(list(enumerate(place.frame.spread(scores.grid), 1))):
        if np.array_equal(own, np.eye(*own.shape)):
            continue
        sums = own.astype(np.float32)
        if axis == rank:
            found = op.MatMul(found, op.const(sums.T))
        else:  # whatever lies behind the axis goes with it
            front = [0] * axis
            flat = op.Reshape(found, [*front, sums.shape[1], math.prod(scores.grid[axis:])])
            found = op.Reshape(op.MatMul(op.const(sums), flat), [*front, len(sums), *scores.grid[axis:]])
    return op.Reshape(found, [-1, scores.positions])


def members_in(op: Tape, scores: DenseScores, numbers: Mapping[str, ir.Value]) -> ir.Value:
    """Return which positions belong to which class, float32 [B, classes, positions] of 0 and 1."""
    values = op.Reshape(numbers["probability"], [-1, scores.classes, scores.positions])
    if not scores.exclusive:
        return op.Cast(op.Greater(values, SURE), to=ir.DataType.FLOAT)
    classes = op.const(np.arange(scores.classes)[None, :, None])
    return op.Cast(op.Equal(op.ArgMax(values, axis=1), classes), to=ir.DataType.FLOAT)


def mean_in(op: Tape, scores: DenseScores, chosen: ir.Value, mask: ir.Value) -> dict[str, ir.Value]:
    """Return the target inputs of means of classes [B, 1]. Args: mask: how much positions count, [B, positions]."""
    total = op.ReduceSum(mask, [1], keepdims=1)
    weights = op.Div(mask, op.Where(op.Greater(total, 0.0), total, 1.0))
    # A position outside has the coefficient 0: it stands for one inside, for 0 times minus infinity is NaN.
    inside = op.Where(op.Greater(mask, 0.0), op.const(np.arange(scores.positions)[None]), op.ArgMax(mask, axis=1))
    return {TARGET: op.Add(op.Mul(chosen, scores.positions), inside), COEFFICIENTS: weights}
