"""The cosine of two embeddings split over the positions of one of them: exact where they are pooled by a mean."""

from __future__ import annotations

import math

import onnx_ir as ir

from onnxsal.anatomy import Anatomy, Layer, Score
from onnxsal.anatomy.select import EMBEDDINGS
from onnxsal.autodiff import gradients_of
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Program
from onnxsal.graph.names import node_title
from onnxsal.graph.program import Trace
from onnxsal.methods.linear_head import linear_layer, non_linear
from onnxsal.methods.parts import divide, trace_with_gradient
from onnxsal.methods.registry import Cost, method

_OTHERS = "occlusion, rise and methods of gradients explain the cosine of any model"


def _pooled(anatomy: Anatomy) -> Layer:
    if EMBEDDINGS not in anatomy.head.kinds.values():
        raise UnsupportedError("similarity-map splits the cosine of two embeddings, and this model puts out none")
    layer = linear_layer(anatomy)
    if layer is None:
        raise UnsupportedError(
            "similarity-map needs an embedding that is a mean of feature maps or linear in them, as behind global "
            f"average pooling, and no layer of this model has one; {_OTHERS}"
        )
    return layer


@method(
    "similarity-map",
    paper="Stylianou et al. 2019, arXiv:1901.00536",
    when="embeddings behind global average pooling: their cosine to a reference, split over positions; exact",
    rules=None,
    cost=Cost(lambda o, k: 1, lambda o, k: 0),
    choose_layer=_pooled,
)
def similarity_map(score: Program, layer: Layer) -> Program:
    """What each position adds to the cosine, [b, h, w], signed; its sum is the cosine.

    With f the mean of P positions a_p, and r the reference's direction, r . a_p / (P |f|). A linear layer behind the
    pooling is applied to every position, and what is constant there, its bias, is shared out evenly.
    """
    op, along = _along(score, layer)
    op, a, g = trace_with_gradient(along, layer)
    places = op.ReduceSum(op.Mul(a, g), [1], keepdims=0)
    rest = op.Sub(op["score"], op.ReduceSum(places, _behind(layer), keepdims=0))
    share = op.Reshape(op.Div(rest, float(math.prod(layer.grid))), [-1, *[1] * len(layer.grid)])
    total = op.Add(places, share)
    return op.finish(saliency=total if _is_dot(score) else _over_length(op, total, layer))


def _along(score: Program, layer: Layer) -> tuple[Trace, Program]:
    """Return the program of r . f, which is linear in the layer: r is the gradient of the score by its columns."""
    op = score.extend()
    if EMBEDDINGS not in op.names() or not isinstance(score, Score) or score.source is None:
        raise UnsupportedError("similarity-map splits the cosine of two embeddings, and this score is none")
    vectors = op[EMBEDDINGS]
    _check_linear(op, layer, vectors)
    (reference,) = gradients_of(op, op["score"], [op[score.source]])
    return op, op.finish(score=op.ReduceSum(op.Mul(reference, vectors), [1], keepdims=0))


def _check_linear(op: Trace, layer: Layer, vectors: ir.Value) -> None:
    blocking = non_linear(op, op[layer.name], vectors)
    if blocking is not None:
        raise UnsupportedError(
            f"similarity-map needs an embedding that is linear in the layer, and {node_title(blocking)} stands between "
            f"layer {layer.name!r} and it; {_OTHERS}"
        )
    if layer.dropped_tokens or layer.trailing_tokens:
        raise UnsupportedError(
            f"layer {layer.name!r} has tokens that are no place in the picture (class token, registers), so its "
            f"positions do not add up to the embedding; {_OTHERS}"
        )


def _behind(layer: Layer) -> list[int]:
    """The axes of a map [B, *grid] behind the batch."""
    return list(range(1, 1 + len(layer.grid)))


def _is_dot(score: Program) -> bool:
    return isinstance(score, Score) and score.source == EMBEDDINGS


def _over_length(op: Trace, total: ir.Value, layer: Layer) -> ir.Value:
    length = op.Reshape(op.ReduceL2(op[EMBEDDINGS], [1], keepdims=1), [-1, *[1] * len(layer.grid)])
    return divide(op, total, length)
