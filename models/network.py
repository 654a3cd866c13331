"""The bundled model's network as an ONNX graph: a form to train, whose weights are inputs, and the form to use.

While training, a batch normalisation follows every convolution; in the model to use it is part of the convolution.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
from layers import (
    FLOAT,
    Arrays,
    Convolution,
    Deployed,
    Training,
    activated,
    block,
    called,
    folded,
    residual,
    uniform,
    unmeasured,
    untrained,
)
from scenes import LABELS

from onnxsal.graph import Tape, Trace, empty, to_proto

SIZE = 96

CONVOLUTIONS = {
    convolution.name: convolution
    for convolution in (
        Convolution("stem", 3, 12),
        Convolution("widen", 12, 24),
        *block("block1", 24),
        Convolution("deepen", 24, 48),
        *block("block2", 48),
        *block("block3", 48),
    )
}
WIDTH = 48


def initial(seed: int) -> Arrays:
    """Return what training starts from: kernels, the normalisations' scales and biases, and the linear layer."""
    rng = np.random.default_rng(seed)
    weights = untrained(rng, CONVOLUTIONS.values())
    weights["head.weight"] = uniform(rng, (len(LABELS), WIDTH))
    weights["head.bias"] = np.zeros(len(LABELS), np.float32)
    return weights


def statistics() -> Arrays:
    """Return what is known of the activations before training: means of zero, variances of one."""
    return unmeasured(CONVOLUTIONS.values())


def settled(weights: Arrays, known: Arrays) -> Arrays:
    """Return the weights for use: each normalisation, by the statistics of training, is part of its convolution."""
    head = {name: array for name, array in weights.items() if name.startswith("head.")}
    return head | folded(weights, known, CONVOLUTIONS.values())


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
    network = Deployed(op, {name: called(name, op.weight(ir.tensor(array))) for name, array in weights.items()})
    op.finish(logits=classified(network, features(network, x)))
    return _standing_alone(op, notes)


def features(network: Deployed, x: ir.Value) -> ir.Value:
    """Return the last feature maps [N, 48, 24, 24]; every value is named after the part of the network it is of."""
    op = network.op
    x = activated(op, network.convolved(x, "stem", stride=2))
    x = residual(network, activated(op, network.convolved(x, "widen", stride=2)), "block1")
    x = activated(op, network.convolved(x, "deepen"))
    return residual(network, residual(network, x, "block2"), "block3")


def classified(network: Deployed, maps: ir.Value) -> ir.Value:
    """Return the logits: a linear layer on the maps' means."""
    op = network.op
    axes = called("pool.axes", op.const([2, 3], ir.DataType.INT64))
    means = called("pool/reducemean", op.ReduceMean(maps, axes, keepdims=0))
    return called("logits", op.Gemm(means, network.values["head.weight"], network.values["head.bias"], transB=1))


def _mean_spread(op: Tape, maps: ir.Value) -> ir.Value:
    """Return mean over root mean square of the summed activation: the root of the share of active positions."""
    total = op.ReduceSum(maps, [1], keepdims=0)
    mean, power = op.ReduceMean(total, [1, 2], keepdims=0), op.ReduceMean(op.Mul(total, total), [1, 2], keepdims=0)
    return op.ReduceMean(op.Div(mean, op.Sqrt(op.Add(power, 1e-6))), [0], keepdims=0)  # type: ignore[no-any-return]


def _standing_alone(op: Trace, notes: Mapping[str, str]) -> onnx.ModelProto:
    op.model.ir_version, op.model.producer_name, op.graph.name = 10, "onnxsal models/recipe.py", "shapes"
    model = to_proto(op.model)
    onnx.helper.set_model_props(model, dict(notes))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("logits", 1, ["N", len(LABELS)]))
    onnx.checker.check_model(model, full_check=True)
    return model
