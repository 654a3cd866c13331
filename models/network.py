"""The bundled model's network as an ONNX graph: a form to train, whose weights are inputs, and the form to use.

While training, a batch normalisation follows every convolution; in the model to use it is part of the convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from scenes import LABELS

from onnxsal.graph import Tape, Trace, empty, to_proto

SIZE = 96
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


def _block(name: str, channels: int) -> tuple[Convolution, Convolution]:
    """Two convolutions round which the input goes unchanged."""
    return Convolution(f"{name}.first", channels, channels), Convolution(f"{name}.second", channels, channels)


CONVOLUTIONS = {
    convolution.name: convolution
    for convolution in (
        Convolution("stem", 3, 12),
        Convolution("widen", 12, 24),
        *_block("block1", 24),
        Convolution("deepen", 24, 48),
        *_block("block2", 48),
        *_block("block3", 48),
    )
}
WIDTH = 48


def initial(seed: int) -> Arrays:
    """Return what training starts from: kernels, the normalisations' scales and biases, and the linear layer."""
    rng = np.random.default_rng(seed)
    weights: Arrays = {}
    for c in CONVOLUTIONS.values():
        weights[f"{c.name}.kernel"] = _uniform(rng, (c.outputs, c.channels, 3, 3))
        weights[f"{c.name}.scale"] = np.ones(c.outputs, np.float32)
        weights[f"{c.name}.bias"] = np.zeros(c.outputs, np.float32)
    weights["head.weight"] = _uniform(rng, (len(LABELS), WIDTH))
    weights["head.bias"] = np.zeros(len(LABELS), np.float32)
    return weights


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    bound = np.prod(shape[1:]) ** -0.5
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def statistics() -> Arrays:
    """Return what is known of the activations before training: means of zero, variances of one."""
    return {
        f"{c.name}.{name}": np.full(c.outputs, value, np.float32)
        for c in CONVOLUTIONS.values()
        for name, value in (("mean", 0.0), ("variance", 1.0))
    }


def settled(weights: Arrays, known: Arrays) -> Arrays:
    """Return the weights for use: each normalisation, by the statistics of training, is part of its convolution."""
    found = {name: array for name, array in weights.items() if name.startswith("head.")}
    for name in CONVOLUTIONS:
        factor = weights[f"{name}.scale"] / np.sqrt(known[f"{name}.variance"] + EPSILON)
        found[f"{name}.weight"] = weights[f"{name}.kernel"] * factor.reshape(-1, 1, 1, 1)
        found[f"{name}.bias"] = weights[f"{name}.bias"] - known[f"{name}.mean"] * factor
    return found


def for_training() -> onnx.ModelProto:
    """Return the network with its loss.

    Inputs: ``picture``, ``answers``, ``sparsity``, every weight and every statistic. Outputs: ``loss`` and, as
    ``next/<name>``, the statistics after the batch. The loss is the cross-entropy against ``answers`` (probabilities,
    [N, classes]) plus ``sparsity`` times the spread of the last feature maps.
    """
    op = empty(21)
    x = op.input("picture", FLOAT, ["N", 3, SIZE, SIZE])
    answers, sparsity = op.input("answers", FLOAT, ["N", len(LABELS)]), op.input("sparsity", FLOAT, [])
    known = {**initial(0), **statistics()}
    network = Training(op, {name: op.input(name, FLOAT, array.shape) for name, array in known.items()}, {})
    maps = features(network, x)
    surprise = op.ReduceSum(op.Mul(op.LogSoftmax(classified(network, maps)), answers), [1], keepdims=0)
    loss = op.Sub(op.Mul(_mean_spread(op, maps), sparsity), op.ReduceMean(surprise, [0], keepdims=0))
    return to_proto(op.finish_with({"loss": loss, **network.outcome}).model)


def for_use(weights: Arrays, notes: Mapping[str, str]) -> onnx.ModelProto:
    """Return the network as a classifier: ``picture`` float32 [N, 3, 96, 96] to ``logits`` [N, classes]."""
    op = empty(18)
    x = op.input("picture", FLOAT, ["N", 3, SIZE, SIZE])
    network = Deployed(op, {name: _called(name, op.weight(ir.tensor(array))) for name, array in weights.items()})
    op.finish(logits=classified(network, features(network, x)))
    return _standing_alone(op, notes)


@dataclass(frozen=True)
class Deployed:
    """The network whose convolutions hold their normalisations."""

    op: Tape
    values: Mapping[str, ir.Value]

    def convolved(self, x: ir.Value, part: str, *, stride: int = 1) -> ir.Value:
        weights = self.values[f"{part}.weight"], self.values[f"{part}.bias"]
        return _called(f"{part}/conv", self.op.Conv(x, *weights, strides=[stride] * 2, pads=[1] * 4))


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
        return _called(f"{part}/conv", y)


def features(network: Deployed, x: ir.Value) -> ir.Value:
    """Return the last feature maps [N, 48, 24, 24]; every value is named after the part of the network it is of."""
    op = network.op
    x = _activated(op, network.convolved(x, "stem", stride=2))
    x = _residual(network, _activated(op, network.convolved(x, "widen", stride=2)), "block1")
    x = _activated(op, network.convolved(x, "deepen"))
    return _residual(network, _residual(network, x, "block2"), "block3")


def classified(network: Deployed, maps: ir.Value) -> ir.Value:
    """Return the logits: a linear layer on the maps' means."""
    op = network.op
    axes = _called("pool.axes", op.const([2, 3], ir.DataType.INT64))
    means = _called("pool/reducemean", op.ReduceMean(maps, axes, keepdims=0))
    return _called("logits", op.Gemm(means, network.values["head.weight"], network.values["head.bias"], transB=1))


def _activated(op: Tape, x: ir.Value) -> ir.Value:
    return _called(f"{str(x.name).rpartition('/')[0]}/relu", op.Relu(x))


def _residual(network: Deployed, x: ir.Value, part: str) -> ir.Value:
    op = network.op
    inner = _activated(op, network.convolved(x, f"{part}.first"))
    return _activated(op, _called(f"{part}/add", op.Add(x, network.convolved(inner, f"{part}.second"))))


def _mean_spread(op: Tape, maps: ir.Value) -> ir.Value:
    """Return mean over root mean square of the summed activation: the root of the share of active positions."""
    total = op.ReduceSum(maps, [1], keepdims=0)
    mean, power = op.ReduceMean(total, [1, 2], keepdims=0), op.ReduceMean(op.Mul(total, total), [1, 2], keepdims=0)
    return op.ReduceMean(op.Div(mean, op.Sqrt(op.Add(power, 1e-6))), [0], keepdims=0)  # type: ignore[no-any-return]


def _called(name: str, value: Any) -> ir.Value:
    value.name = name
    if value.producer() is not None:
        value.producer().name = name
    assert isinstance(value, ir.Value)
    return value


def _standing_alone(op: Trace, notes: Mapping[str, str]) -> onnx.ModelProto:
    op.model.ir_version, op.model.producer_name, op.graph.name = 10, "onnxsal models/recipe.py", "shapes"
    model = to_proto(op.model)
    onnx.helper.set_model_props(model, dict(notes))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("logits", 1, ["N", len(LABELS)]))
    onnx.checker.check_model(model, full_check=True)
    return model
