"""What both networks are made of: convolutions of 3 x 3 that are normalised, while training by the batch.

In the form to use, the normalisation is part of the convolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph import Tape

FLOAT = ir.DataType.FLOAT
EPSILON = 1e-5
MOMENTUM = 0.9

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Convolution:
    """A convolution of 3 x 3: its name, its channels in and out."""

    name: str
    channels: int
    outputs: int


def block(name: str, channels: int) -> tuple[Convolution, Convolution]:
    """Return two convolutions round which the input goes unchanged."""
    return Convolution(f"{name}.first", channels, channels), Convolution(f"{name}.second", channels, channels)


def untrained(rng: np.random.Generator, convolutions: Iterable[Convolution]) -> Arrays:
    """Return the kernels to start from, and the normalisations' scales and biases."""
    weights: Arrays = {}
    for c in convolutions:
        weights[f"{c.name}.kernel"] = uniform(rng, (c.outputs, c.channels, 3, 3))
        weights[f"{c.name}.scale"] = np.ones(c.outputs, np.float32)
        weights[f"{c.name}.bias"] = np.zeros(c.outputs, np.float32)
    return weights


def uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a kernel to start from."""
    bound = np.prod(shape[1:]) ** -0.5
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def unmeasured(convolutions: Iterable[Convolution]) -> Arrays:
    """Return what is known of the activations before training: means of zero, variances of one."""
    return {
        f"{c.name}.{name}": np.full(c.outputs, value, np.float32)
        for c in convolutions
        for name, value in (("mean", 0.0), ("variance", 1.0))
    }


def folded(weights: Arrays, known: Arrays, convolutions: Iterable[Convolution]) -> Arrays:
    """Return the convolutions for use: each normalisation, by the statistics of training, is part of its own."""
    found: Arrays = {}
    for name in (c.name for c in convolutions):
        factor = weights[f"{name}.scale"] / np.sqrt(known[f"{name}.variance"] + EPSILON)
        found[f"{name}.weight"] = weights[f"{name}.kernel"] * factor.reshape(-1, 1, 1, 1)
        found[f"{name}.bias"] = weights[f"{name}.bias"] - known[f"{name}.mean"] * factor
    return found


@dataclass(frozen=True)
class Deployed:
    """The network whose convolutions hold their normalisations."""

    op: Tape
    values: Mapping[str, ir.Value]

    def convolved(self, x: ir.Value, part: str, *, stride: int = 1) -> ir.Value:
        weights = self.values[f"{part}.weight"], self.values[f"{part}.bias"]
        return called(f"{part}/conv", self.op.Conv(x, *weights, strides=[stride] * 2, pads=[1] * 4))


@dataclass(frozen=True)
class Training(Deployed):
    """The network whose convolutions are normalised by the batch."""

    outcome: dict[str, ir.Value]
    """The statistics after the batch."""

    def convolved(self, x: ir.Value, part: str, *, stride: int = 1) -> ir.Value:
        raw = self.op.Conv(x, self.values[f"{part}.kernel"], strides=[stride] * 2, pads=[1] * 4)
        names = [f"{part}.{name}" for name in ("scale", "bias", "mean", "variance")]
        y, *after = self.op.BatchNormalization(
            raw, *(self.values[n] for n in names), training_mode=1, momentum=MOMENTUM, epsilon=EPSILON, outputs=3
        )
        self.outcome.update({f"next/{n}": v for n, v in zip(names[2:], after, strict=True)})
        return called(f"{part}/conv", y)


def activated(op: Tape, x: ir.Value) -> ir.Value:
    """Return what of a convolution is above zero."""
    return called(f"{str(x.name).rpartition('/')[0]}/relu", op.Relu(x))


def residual(network: Deployed, x: ir.Value, part: str) -> ir.Value:
    """Return ``x`` behind a :func:`block`."""
    op = network.op
    inner = activated(op, network.convolved(x, f"{part}.first"))
    return activated(op, called(f"{part}/add", op.Add(x, network.convolved(inner, f"{part}.second"))))


def called(name: str, value: Any) -> ir.Value:
    """Return the value under this name, as its node is."""
    value.name = name
    if value.producer() is not None:
        value.producer().name = name
    assert isinstance(value, ir.Value)
    return value
