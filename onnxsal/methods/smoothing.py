"""The SmoothGrad family: wrappers that take any method and average it over noisy copies of the picture."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.graph import Program
from onnxsal.graph.program import empty
from onnxsal.methods.registry import Cost, Level, Samples, method
from onnxsal.records import Draws, Moments, Noise, Record

_COST = Cost(lambda o, k: o["samples"], lambda o, k: o["samples"])


@method(
    "smoothgrad",
    paper="Smilkov et al. 2017, arXiv:1706.03825, section 3",
    when="a gradient map that a person can read; wraps any method (inner=...)",
    cost=_COST,
)
def smoothgrad(inner: Program | Record, *, samples: Samples = 50, noise: Level = 0.15) -> Record:
    """Mean of ``inner`` over noisy copies of x (noise: sigma as a share of x's range); in inner's shape."""
    return _noisy(inner, samples, noise, None)


@method(
    "smoothgrad-squared",
    paper="Hooker et al. 2019, arXiv:1806.10758, section 4.1 (SmoothGrad-Squared)",
    when="like smoothgrad, without a sign and with more contrast",
    cost=_COST,
)
def smoothgrad_squared(inner: Program | Record, *, samples: Samples = 50, noise: Level = 0.15) -> Record:
    """Mean square of ``inner`` over noisy copies of x; in inner's shape, >= 0."""
    return _noisy(inner, samples, noise, "square/saliency")


@method(
    "vargrad",
    paper="Adebayo et al. 2018, arXiv:1810.03307, section 3 (VarGrad)",
    when="where the explanation itself wavers under noise",
    cost=_COST,
)
def vargrad(inner: Program | Record, *, samples: Samples = 50, noise: Level = 0.15) -> Record:
    """Unbiased variance of ``inner`` over noisy copies of x; in inner's shape, >= 0."""
    return _noisy(inner, max(samples, 2), noise, "variance/saliency")


def _noisy(inner: Program | Record, samples: int, noise: float, moment: str | None) -> Record:
    draws = Draws(samples=samples, noise=Noise(noise, "range of x", "input"))
    return Record(draws=draws, body=inner, moments=Moments(("saliency",)), tail=_passes(moment) if moment else None)


def _passes(moment: str) -> Program:
    op = empty(21)
    return op.finish(saliency=op.Identity(op.input(moment, ir.DataType.FLOAT, None)))
