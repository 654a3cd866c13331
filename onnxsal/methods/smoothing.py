"""The SmoothGrad family: wrappers that take any method and average it over noisy copies of the picture."""

from __future__ import annotations

from typing import Annotated, Literal

from onnxsal.graph import Program
from onnxsal.methods.registry import Cost, Level, Range, Samples, method
from onnxsal.records import Draws, Moments, Noise, Record

Several = Annotated[int, Range(2)]

_COST = Cost(lambda o, k: o["samples"], lambda o, k: o["samples"])


@method(
    "smoothgrad",
    paper="Smilkov et al. 2017, arXiv:1706.03825",
    when="a gradient map that a person can read; wraps any method (inner=...)",
    cost=_COST,
)
def smoothgrad(inner: Program | Record, *, samples: Samples = 50, noise: Level = 0.15) -> Record:
    """Mean of ``inner`` over noisy copies of x (noise: sigma as a share of x's range); in inner's shape."""
    return _noisy(inner, samples, noise, "mean")


@method(
    "smoothgrad-squared",
    paper="Hooker et al. 2019, arXiv:1806.10758 (SmoothGrad-Squared)",
    when="like smoothgrad, without a sign and with more contrast",
    cost=_COST,
)
def smoothgrad_squared(inner: Program | Record, *, samples: Samples = 50, noise: Level = 0.15) -> Record:
    """Mean square of ``inner`` over noisy copies of x; in inner's shape, >= 0."""
    return _noisy(inner, samples, noise, "square")


@method(
    "vargrad",
    paper="Adebayo et al. 2018, arXiv:1810.03307 (VarGrad)",
    when="where the explanation itself wavers under noise",
    cost=_COST,
)
def vargrad(inner: Program | Record, *, samples: Several = 50, noise: Level = 0.15) -> Record:
    """Unbiased variance of ``inner`` over noisy copies of x; in inner's shape, >= 0."""
    return _noisy(inner, samples, noise, "variance")


def _noisy(inner: Program | Record, samples: int, noise: float, shown: Literal["mean", "square", "variance"]) -> Record:
    draws = Draws(samples=samples, noise=Noise(noise, "range of x", "input"))
    return Record(draws=draws, body=inner, moments=Moments(("saliency",), shown=shown))
