"""Weights as arrays of their own, so that the message they were read from can go."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.graph.external import all_nodes

_D = ir.DataType
_PLAIN = {
    _D.FLOAT, _D.DOUBLE, _D.FLOAT16, _D.BOOL, _D.INT8, _D.INT16, _D.INT32, _D.INT64, _D.UINT8, _D.UINT16, _D.UINT32,
    _D.UINT64,
}  # fmt: skip
"""Types whose arrays are their bytes."""


def is_plain(dtype: ir.DataType) -> bool:
    """Whether arrays of a type are its bytes."""
    return dtype in _PLAIN


def hold(model: ir.Model) -> None:
    """Replace every tensor that reads out of a parsed message by an array.

    A message is freed as a whole, and each look at a weight in it makes another copy: without this a model takes twice
    its size, and once more for every inference session.
    """
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            value.const_value = _held(value.const_value)
    for node in all_nodes(model):
        _hold_attributes(node)


def describe(model: ir.Model) -> None:
    """Have every weight of the type and shape that it is: what else a file declares of it, runtimes do not look at."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None or value.is_graph_input():  # there the declaration is what may be fed
                continue
            shape = ir.Shape([d if isinstance(d, int) else None for d in tensor.shape])
            if value.shape != shape or value.dtype != tensor.dtype:
                value.type, value.shape = ir.TensorType(tensor.dtype), shape


def _hold_attributes(node: ir.Node) -> None:
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
            held = _held(attribute.value)
            if held is not None and held is not attribute.value:
                node.attributes[name] = ir.AttrTensor(name, held, doc_string=attribute.doc_string)


def _held(tensor: ir.TensorProtocol | None) -> ir.TensorProtocol | None:
    if not isinstance(tensor, ir.TensorProtoTensor) or tensor.dtype not in _PLAIN:
        return tensor
    return ir.Tensor(
        tensor.numpy(), dtype=tensor.dtype, name=tensor.name, doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )  # fmt: skip
