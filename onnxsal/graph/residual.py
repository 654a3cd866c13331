"""Sums that ONNX Runtime adds up inside a normalisation.

SkipLayerNormalization takes the place of Add, Add and LayerNormalization as long as nobody else reads what the Adds
give. It rounds otherwise than they do.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxsal.graph.shapes import rank, static

_TOKENS = 3
"""Dimensions of what the runtime's optimiser does this to."""


def sums_of_norms(
    graph: ir.Graph, model: Collection[ir.Node], bodies: Collection[ir.Graph] = ()
) -> dict[ir.Value, ir.Node]:
    """Return the float32 sums that only a LayerNormalization reads and those with a bias in them, with their nodes.

    Args: model: the nodes whose readers count. bodies: graphs inside other nodes, whose readers do not.
    """
    found: dict[ir.Value, ir.Node] = {}
    for node in graph:
        if node in model and node.op_type == "LayerNormalization" and not node.domain and node.inputs[0] is not None:
            for value in _summed(node.inputs[0]):
                maker = value.producer()
                if maker is not None and maker in model and _reads(value, graph, model, bodies) == 1:
                    found[value] = maker
    return found


def _summed(value: ir.Value) -> list[ir.Value]:
    """Return a sum of tokens, and those of its operands that are the sum of something and a vector of constants."""
    if not _is_sum(value):
        return []
    maker = value.producer()
    operands = [] if maker is None else [v for v in maker.inputs if v is not None and _is_sum(v)]
    return [value, *(v for v in operands if _has_bias(v))]


def _is_sum(value: ir.Value) -> bool:
    maker = value.producer()
    added = maker is not None and maker.op_type == "Add" and not maker.domain
    plain = value.dtype == ir.DataType.FLOAT and not value.is_graph_output()
    return added and plain and rank(value) in (None, _TOKENS)


def _has_bias(value: ir.Value) -> bool:
    """Whether a bias is added; not to a product of known size, which is made one operator with its bias before."""
    maker = value.producer()
    operands = [] if maker is None else [v for v in maker.inputs if v is not None]
    added = any(v.const_value is not None and rank(v) == 1 for v in operands)
    return added and not (static(value) and any(_is_product(v.producer()) for v in operands))


def _is_product(node: ir.Node | None) -> bool:
    return node is not None and node.op_type == "MatMul" and not node.domain


def _reads(value: ir.Value, graph: ir.Graph, model: Collection[ir.Node], bodies: Collection[ir.Graph]) -> int:
    """How often the model reads a value, in its own bodies too."""
    inside = [node.graph for node, _ in value.uses() if node.graph is not graph]
    return sum(node in model for node, _ in value.uses()) + sum(place not in bodies for place in inside)
