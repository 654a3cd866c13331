"""What a compiled file computes of dense scores: which positions are whose, and means over them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import COEFFICIENTS, TARGET
from onnxsal.graph import Tape
from onnxsal.tasks.dense.scores import DenseScores
from onnxsal.tasks.dense.seen import SURE


def members_in(op: Tape, scores: DenseScores, numbers: Mapping[str, ir.Value]) -> ir.Value:
    """Return which positions belong to which class, float32 [B, classes, positions] of 0 and 1."""
    values = op.Reshape(numbers["probability"], [-1, scores.classes, scores.positions])
    if not scores.exclusive:
        return op.Cast(op.Greater(values, SURE), to=ir.DataType.FLOAT)
    classes = op.const(np.arange(scores.classes)[None, :, None])
    return op.Cast(op.Equal(op.ArgMax(values, axis=1), classes), to=ir.DataType.FLOAT)


def mean_in(op: Tape, scores: DenseScores, chosen: ir.Value, mask: ir.Value) -> dict[str, ir.Value]:
    """Return the target inputs of the means of classes [B, 1] over positions, 1 where they count, [B, positions]."""
    weights = op.Div(mask, op.Max(op.ReduceSum(mask, [1], keepdims=1), 1.0))
    # A position outside has the coefficient 0: it stands for one inside, for 0 times minus infinity is NaN.
    inside = op.Where(op.Greater(mask, 0.0), op.const(np.arange(scores.positions)[None]), op.ArgMax(mask, axis=1))
    return {TARGET: op.Add(op.Mul(chosen, scores.positions), inside), COEFFICIENTS: weights}
