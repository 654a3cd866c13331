"""Class activation maps from one gradient: weighted sums of a layer's feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import onnx_ir as ir

from onnxsal.anatomy import Anatomy, Layer
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Program
from onnxsal.graph.names import node_title
from onnxsal.graph.program import Trace
from onnxsal.methods.linear_head import is_pooled, linear_layer, non_linear
from onnxsal.methods.parts import combine, combine_halves, divide, halves, trace_with_gradient
from onnxsal.methods.registry import method

_NOT_POOLED = (
    "cam needs a model that ends in global average pooling and a linear layer, which this one does not; "
    "use grad-cam, which equals it there"
)


def _first_linear(anatomy: Anatomy) -> Layer:
    if anatomy.head.has_boxes:
        raise UnsupportedError(
            "cam needs a model that ends in global average pooling and a linear layer: the score of a box is that of "
            "one position, which is not pooled; use layercam or hirescam"
        )
    layer = linear_layer(anatomy)
    if layer is None:
        raise UnsupportedError(_NOT_POOLED)
    return layer


@method(
    "cam",
    pools=True,
    paper="Zhou et al. 2016, arXiv:1512.04150, eq. 2",
    when="models that end in global average pooling and one linear layer; there it is exact",
    choose_layer=_first_linear,
)
def cam(score: Program, layer: Layer) -> Program:
    """Sum over channels of class weight times activation; [B, h, w], signed.

    Between the layer and the logit everything is linear (checked), so the class weights are the summed gradient.
    """
    op, a, g = trace_with_gradient(score, layer)
    blocking = non_linear(op, op[layer.name], op["score"])
    if blocking is not None:
        raise UnsupportedError(
            f"cam needs a linear head, and {node_title(blocking)} stands "
            f"between layer {layer.name!r} and the score; use grad-cam, or a layer behind it"
        )
    if prod(layer.grid) > 1 and not is_pooled(op.graph, op[layer.name], op["score"]):
        raise UnsupportedError(_NOT_POOLED)
    return op.finish(saliency=combine(op, op.ReduceSum(g, layer.positions, keepdims=1), a, rectify=False))


@method(
    "grad-cam",
    pools=True,
    paper="Selvaraju et al. 2017, arXiv:1610.02391, eq. 1-2",
    when="the standard coarse map: robust, one backward pass",
)
def grad_cam(score: Program, layer: Layer) -> Program:
    """ReLU of the sum over channels of mean gradient times activation; [B, h, w], >= 0."""
    op, a, g = trace_with_gradient(score, layer)
    return op.finish(saliency=combine(op, op.ReduceMean(g, layer.positions, keepdims=1), a))


@method(
    "hirescam",
    paper="Draelos & Carin 2020, arXiv:2011.08891",
    when="only places that did raise the score; faithful where the head is linear",
)
def hirescam(score: Program, layer: Layer) -> Program:
    """ReLU of the sum over channels of gradient times activation; [B, h, w], >= 0."""
    op, a, g = trace_with_gradient(score, layer)
    return op.finish(saliency=combine(op, g, a))


@method(
    "layercam",
    paper="Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
    when="finer maps from earlier layers; several layers fuse well",
)
def layercam(score: Program, layer: Layer) -> Program:
    """ReLU of the sum over channels of positive gradient times activation; [B, h, w], >= 0."""
    op, a, g = trace_with_gradient(score, layer)
    return op.finish(saliency=combine(op, op.Relu(g), a))


@method(
    "xgrad-cam",
    pools=True,
    paper="Fu et al. 2020, arXiv:2008.02312",
    when="Grad-CAM with weights that add up to the score's share of the layer",
)
def xgrad_cam(score: Program, layer: Layer) -> Program:
    """ReLU of the sum over channels of (sum of gradient times activation / sum of activation) times activation; >= 0.

    A channel whose activation sums to 0 has weight 0 (the paper leaves it open).
    """
    op, a, g = trace_with_gradient(score, layer)
    weights = divide(
        op, op.ReduceSum(op.Mul(g, a), layer.positions, keepdims=1), op.ReduceSum(a, layer.positions, keepdims=1)
    )
    return op.finish(saliency=combine(op, weights, a))


@method(
    "grad-cam++",
    pools=True,
    paper="Chattopadhay et al. 2018, arXiv:1710.11063, eq. 7 and 19",
    when="the default: several objects of a class, whole objects; one backward pass",
)
def grad_cam_pp(score: Program, layer: Layer, *, preset: Literal["onnxsal", "paper"] = "onnxsal") -> Program:
    """ReLU of the sum over channels of alpha-weighted positive gradient times activation; [B, h, w], >= 0.

    Y = exp(S), whose positive factor falls out of the map. alpha = g^2 / (2 g^2 + sum(A) g^3) is written with one
    division as 1 / (2 + sum(A) g), which float16 survives; both are 0 where g is.

    Args: preset: ``onnxsal`` takes a map with a sign for two without: its positive part, and its negative part turned
    round, with the gradient turned round. ``paper`` puts A into the formula as it is.
    Source: the formula is for activations that are not negative, of which both presets make the same map. Behind
    LayerNorm, GELU or SiLU the paper's denominator passes through 0 and its map can be the negative of the right one
    (measured in docs/methods.md).
    """
    op, a, g = trace_with_gradient(score, layer)
    sides = [(a, g)] if preset == "paper" else halves(op, a, g)
    return op.finish(
        saliency=combine_halves(op, [(_weights(op, part, slope, layer.positions), part) for part, slope in sides])
    )


def _weights(op: Trace, a: ir.Value, g: ir.Value, positions: Sequence[int]) -> ir.Value:
    denominator = op.Add(op.Mul(op.ReduceSum(a, positions, keepdims=1), g), 2.0)
    return op.ReduceSum(divide(op, op.Relu(g), denominator), positions, keepdims=1)
