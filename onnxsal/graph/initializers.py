"""Making initializers, of tensors and of Constant nodes."""

from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir


def add_initializer(graph: ir.Graph, name: str, tensor: ir.TensorProtocol) -> ir.Value:
    """Return a new initializer, registered with the graph: of that name, or with a number behind it if it is taken."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    name = next(each for each in itertools.chain([name], numbered) if each not in graph.initializers)
    shape = ir.Shape([d if isinstance(d, int) else None for d in tensor.shape])
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
    graph.register_initializer(value)
    return value


def lift_constants(graph: ir.Graph) -> None:
    """Initializers take the place of Constant nodes, and their names."""
    nodes = [n for n in graph if n.op_type == "Constant" and not n.domain and not n.outputs[0].is_graph_output()]
    lifted = [(n, t) for n in nodes if (t := constant_of(n)) is not None]
    for node, tensor in lifted:
        old = node.outputs[0]
        name, old.name = old.name, None
        old.replace_all_uses_with(add_initializer(graph, str(name), tensor))
    graph.remove([n for n, _ in lifted], safe=True)


def constant_of(node: ir.Node) -> ir.TensorProtocol | None:
    """Return the tensor of a Constant node; None where it is text, sparse, or what a function is given."""
    ((name, attr),) = node.attributes.items()
    if attr.is_ref():
        return None
    if name == "value":
        return attr.as_tensor()
    kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    return ir.tensor(np.array(attr.value, kinds[name])) if name in kinds else None
