"""The detector's network as an ONNX graph: with its loss to train, and with boxes in pixels to use.

Two grids of positions, every 8 and every 16 pixels, look through each other's maps: coarse ones go up to the fine grid
and what comes of it goes down again. Each position says how sure it is of each class and how far its object reaches to
the left, top, right and bottom, each way as an expectation over BINS steps (Li et al. 2020, arXiv:2006.04388).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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

from onnxsal.graph import Tape, Trace, empty, to_proto

SIZE = 96
CLASSES = ("disc", "square", "triangle")
GRIDS = (8, 16)
BINS = 8
BOX_WEIGHT = 2.5
RARE = -4.0
"""The classes' logits before training: hardly any position has an object."""

CONVOLUTIONS = (
    Convolution("stem", 3, 10),
    Convolution("widen", 10, 16),
    *block("block1", 16),
    Convolution("deepen", 17, 24),
    *block("block2", 24),
    Convolution("coarsen", 24, 32),
    *block("block3", 32),
    Convolution("up", 56, 24),
    Convolution("down", 24, 32),
    Convolution("head8", 24, 24),
    Convolution("head16", 32, 24),
)
PLAIN = {"foreground": (1, 16)} | {
    f"head{stride}.{name}": (outputs, 24)
    for stride in GRIDS
    for name, outputs in (("box", 4 * BINS), ("class", len(CLASSES)))
}
"""Convolutions of 1 x 1 that nothing normalises: channels out and in."""


def initial(seed: int) -> Arrays:
    """Return what training starts from."""
    rng = np.random.default_rng([seed, 2])
    weights = untrained(rng, CONVOLUTIONS)
    for name, (outputs, channels) in PLAIN.items():
        weights[f"{name}.weight"] = uniform(rng, (outputs, channels, 1, 1))
        weights[f"{name}.bias"] = np.full(outputs, RARE if name.endswith("class") else 0, np.float32)
    return weights


def statistics() -> Arrays:
    """Return what is known of the activations before training."""
    return unmeasured(CONVOLUTIONS)


def settled(weights: Arrays, known: Arrays) -> Arrays:
    """Return the weights for use, normalisations folded."""
    plain = {name: weights[name] for name in (f"{part}.{kind}" for part in PLAIN for kind in ("weight", "bias"))}
    return folded(weights, known, CONVOLUTIONS) | plain


@dataclass(frozen=True)
class Seen:
    """What the network makes of a picture.

    Shapes: foreground logits [N, 1, 24, 24]; per grid [N, 4 x BINS + K, h, w], ways to the box's sides before classes.
    """

    foreground: ir.Value
    grids: tuple[ir.Value, ...]


def seen(network: Deployed, x: ir.Value) -> Seen:
    """Return what the network makes of pictures [N, 3, 96, 96]; values are named after the part that they are of."""
    op = network.op
    x = activated(op, network.convolved(x, "stem", stride=2))
    x = residual(network, activated(op, network.convolved(x, "widen", stride=2)), "block1")
    foreground = _plain(network, x, "foreground")
    x = called("attended", op.Concat(x, called("foreground/sigmoid", op.Sigmoid(foreground)), axis=1))
    fine = residual(network, activated(op, network.convolved(x, "deepen", stride=2)), "block2")
    coarse = residual(network, activated(op, network.convolved(fine, "coarsen", stride=2)), "block3")
    scales = called("doubled", op.const(np.array([1, 1, 2, 2], np.float32)))
    wide = op.Resize(coarse, None, scales, mode="nearest", coordinate_transformation_mode="asymmetric")
    both = called("fused", op.Concat(called("coarse/resize", wide), fine, axis=1))
    fine = activated(op, network.convolved(both, "up"))
    below = called("down/add", op.Add(network.convolved(fine, "down", stride=2), coarse))
    return Seen(foreground, (_head(network, fine, "head8"), _head(network, activated(op, below), "head16")))


def _head(network: Deployed, x: ir.Value, part: str) -> ir.Value:
    x = activated(network.op, network.convolved(x, part))
    box, classes = (_plain(network, x, f"{part}.{name}") for name in ("box", "class"))
    return called(f"{part}/raw", network.op.Concat(box, classes, axis=1))


def _plain(network: Deployed, x: ir.Value, part: str) -> ir.Value:
    weights = network.values[f"{part}.weight"], network.values[f"{part}.bias"]
    return called(f"{part}/conv", network.op.Conv(x, *weights))


def read(op: Tape, found: Seen) -> tuple[ir.Value, ir.Value]:
    """Return the ways to the boxes' sides in strides, [N, 4, P], and the classes' logits, [N, K, P]."""
    rows = [
        called(f"rows{stride}", op.Reshape(grid, [0, 4 * BINS + len(CLASSES), -1]))
        for stride, grid in zip(GRIDS, found.grids, strict=True)
    ]
    steps, logits = op.emit("Split", op.Concat(*rows, axis=2), [4 * BINS, len(CLASSES)], outputs=2, axis=1)
    bins = op.Transpose(op.Reshape(steps, [0, 4, BINS, -1]), perm=[0, 2, 1, 3])
    shares = called("ways/softmax", op.Softmax(bins, axis=1))
    expected = op.Conv(shares, np.arange(BINS, dtype=np.float32).reshape(1, BINS, 1, 1))
    ways = op.Reshape(called("ways/conv", expected), [0, 4, -1])
    return called("ways", ways), called("classes", logits)


def for_training() -> onnx.ModelProto:
    """Return the network with its loss.

    Inputs: ``picture``, every weight and statistic, and of detector_scenes.Answers ``classes``, ``boxes`` and
    ``foreground``, and ``asked`` and ``held``, here as each position's weight in the loss. Outputs: ``loss`` and, as
    ``next/<name>``, the statistics after the batch.
    """
    op, count = empty(21), len(CLASSES)
    x = op.input("picture", FLOAT, ["N", 3, SIZE, SIZE])
    total = sum((SIZE // stride) ** 2 for stride in GRIDS)
    shapes = {"classes": count, "asked": 1, "boxes": 4, "held": 1}
    asked = {name: op.input(name, FLOAT, ["N", rows, total]) for name, rows in shapes.items()}
    mask = op.input("foreground", FLOAT, ["N", 1, SIZE // 4, SIZE // 4])
    known = {**initial(0), **statistics()}
    network = Training(op, {name: op.input(name, FLOAT, array.shape) for name, array in known.items()}, {})
    found = seen(network, x)
    ways, logits = read(op, found)
    strides = np.repeat(GRIDS, [(SIZE // stride) ** 2 for stride in GRIDS]).astype(np.float32)
    missed = op.Mul(op.Sub(1.0, _overlap(op, op.Mul(ways, strides), asked["boxes"])), asked["held"])
    surprise = op.Mul(_surprise(op, logits, asked["classes"]), asked["asked"])
    unseen = op.ReduceMean(_surprise(op, found.foreground, mask), keepdims=0)
    parts = op.Add(op.Mul(_total(op, missed), BOX_WEIGHT), _total(op, surprise))
    return to_proto(op.finish_with({"loss": op.Add(parts, unseen), **network.outcome}).model)


def _total(op: Tape, x: ir.Value) -> ir.Value:
    return op.ReduceSum(x, keepdims=0)


def _surprise(op: Tape, logits: ir.Value, right: ir.Value) -> ir.Value:
    """Return the cross-entropy of sigmoids."""
    return op.Sub(op.Softplus(logits), op.Mul(logits, right))


def _overlap(op: Tape, ways: ir.Value, right: ir.Value) -> ir.Value:
    """Return the intersection of boxes round the same position over their union, [N, 1, P]."""
    shared, mine, theirs = (_area(op, each) for each in (op.Min(ways, right), ways, right))
    return op.Div(shared, op.Add(op.Sub(op.Add(mine, theirs), shared), 1e-3))


def _area(op: Tape, ways: ir.Value) -> ir.Value:
    left, top, right, bottom = op.emit("Split", ways, [1, 1, 1, 1], outputs=4, axis=1)
    return op.Mul(op.Add(left, right), op.Add(top, bottom))


def for_use(weights: Arrays, notes: Mapping[str, str]) -> onnx.ModelProto:
    """Return the network as a detector.

    ``images`` float32 [N, 3, 96, 96] from 0 to 1 gives ``output0`` [N, 4 + K, P]: x and y of the middle, width and
    height in pixels, and a probability for each class.
    """
    op = empty(18)
    x = op.input("images", FLOAT, ["N", 3, SIZE, SIZE])
    network = Deployed(op, {name: called(name, op.weight(ir.tensor(array))) for name, array in weights.items()})
    ways, logits = read(op, seen(network, x))
    boxes = _in_pixels(op, ways)
    op.finish(output0=op.Concat(boxes, called("classes/sigmoid", op.Sigmoid(logits)), axis=1))
    return _standing_alone(op, notes)


def _in_pixels(op: Tape, ways: ir.Value) -> ir.Value:
    """Return the boxes, [N, 4, P]: middle and extent in pixels."""
    sides = [SIZE // stride for stride in GRIDS]
    middles = [np.stack(np.meshgrid(*[np.arange(n) + 0.5] * 2)).reshape(2, -1) for n in sides]
    anchors = np.concatenate(middles, 1).astype(np.float32)[None]
    strides = np.repeat(GRIDS, [n * n for n in sides]).astype(np.float32)
    before, behind = op.emit("Split", ways, [2, 2], outputs=2, axis=1)
    start, end = op.Sub(anchors, before), op.Add(anchors, behind)
    both = op.Concat(op.Div(op.Add(start, end), 2.0), op.Sub(end, start), axis=1)
    return called("boxes", op.Mul(both, strides))


def _standing_alone(op: Trace, notes: Mapping[str, str]) -> onnx.ModelProto:
    op.model.ir_version, op.model.producer_name, op.graph.name = 10, "onnxsal models/detector_recipe.py", "detector"
    model = to_proto(op.model)
    onnx.helper.set_model_props(model, dict(notes))
    total = sum((SIZE // stride) ** 2 for stride in GRIDS)
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("output0", 1, ["N", 4 + len(CLASSES), total]))
    onnx.checker.check_model(model, full_check=True)
    return model
