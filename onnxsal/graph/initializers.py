"""Making initializers."""

from __future__ import annotations

import onnx_ir as ir


def add_initializer(graph: ir.Graph, name: str, tensor: ir.TensorProtocol) -> ir.Value:
    """Return a new initializer of that name, registered with the graph."""
    shape = ir.Shape([d if isinstance(d, int) else None for d in tensor.shape])
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
    graph.register_initializer(value)
    return value
