"""Integrated gradients: the gradient along the straight path from a baseline to the picture."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import X
from onnxsal.graph import Program, dims
from onnxsal.graph.program import empty
from onnxsal.methods.gradients import input_gradient
from onnxsal.methods.registry import Cost, Range, method
from onnxsal.records import Draws, Moments, Record

Rule = Literal["gauss-legendre", "left", "right", "middle", "trapezoid"]


@method(
    "integrated-gradients",
    paper="Sundararajan et al. 2017, arXiv:1703.01365, eq. 1",
    adds_up=True,
    when="contributions that add up to the score's rise over a baseline; the gap is reported",
    cost=Cost(lambda o, k: o["steps"] + 2, lambda o, k: o["steps"]),
)
def integrated_gradients(
    score: Program,
    *,
    steps: Annotated[int, Range(1, 10_000)] = 50,
    rule: Rule = "gauss-legendre",
    baseline: Any = "zero",
) -> Record:
    """(x - x') times the mean gradient on the path from x' to x; [C, H, W], signed.

    ``score_rise`` in the manifest is S(x) - S(x'), ``completeness_gap`` by how much the map's sum is off it; where that
    is much, more ``steps`` are asked for. ``baseline``: zero of the preprocessed
    input, ``black``, ``blur``, ``uniform`` noise, or an array [C, H, W] in preprocessed values.
    """
    nodes, weights = quadrature(steps, rule)
    draws = Draws(samples=len(nodes), scales=nodes, weights=weights, baseline=baseline, reference=True)
    return Record(
        head=score,
        draws=draws,
        body=input_gradient(score),
        moments=Moments(("saliency",)),
        tail=_tail(score),
        notes=(("rule", rule), ("baseline", baseline if isinstance(baseline, str) else "given")),
        reference=score,  # the rise is of two scores alone: what predicts gives both, and no gradient is run for them
    )


def quadrature(steps: int, rule: Rule) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return nodes in [0, 1] and weights that add up to 1."""
    if rule == "gauss-legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return tuple((nodes + 1) / 2), tuple(weights / 2)
    i = np.arange(steps, dtype=np.float64)
    if rule == "trapezoid":
        ends = np.full(steps + 1, 1.0)
        ends[[0, -1]] = 0.5
        return tuple(np.linspace(0, 1, steps + 1)), tuple(ends / steps)
    shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    return tuple((i + shift) / steps), (1 / steps,) * steps


def _tail(score: Program) -> Program:
    shape = (dims(score.inputs[X]) or (None,) * 4)[1:]
    op = empty(21)
    pixels = [1, *shape]
    mean = op.input("mean/saliency", ir.DataType.FLOAT, pixels)
    x, base = (op.input(name, ir.DataType.FLOAT, pixels) for name in ("x", "baseline"))
    before, after = (op.input(name, ir.DataType.FLOAT, [1]) for name in ("reference/score", "score"))
    saliency = op.Mul(op.Sub(x, base), mean)
    rise = op.Sub(after, before)
    gap = op.Abs(op.Sub(op.ReduceSum(saliency, keepdims=0), rise))
    return op.finish(saliency=saliency, completeness_gap=gap, score_rise=rise)
