"""Folding what does not depend on the picture: shape arithmetic and other small constant parts of a graph."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.graph.contents import Array
from onnxsal.graph.infer import Study, settled
from onnxsal.graph.initializers import add_initializer
from onnxsal.graph.shapes import dims


def fold_constants(graph: ir.Graph, known: Study, *, most: int | None = None) -> None:
    """Replace nodes that compute small constants by initializers, in place, and let no Reshape read the batch.

    Args: most: elements of a constant, fewer than those that the study knows.
    """
    computed = {node: arrays for node in graph if (arrays := _arrays(node, known)) is not None}
    folded = {n: arrays for n, arrays in computed.items() if most is None or all(a.size <= most for a in arrays)}
    for node, arrays in folded.items():
        for value, array in zip(node.outputs, arrays, strict=True):
            if any(use.node not in folded for use in value.uses()):
                value.replace_all_uses_with(add_initializer(graph, f"sal/fold/{value.name}", ir.tensor(array)))
    graph.remove(list(folded), safe=True)
    for node in list(graph):
        if node.op_type == "Reshape" and not node.domain:
            _free_target(graph, node, known)
        elif node.op_type == "Gather" and not node.domain:
            _as_reshape(graph, node, known)
        elif node.op_type == "Range" and not node.domain:
            _bare_numbers(graph, node, known)


def _bare_numbers(graph: ir.Graph, node: ir.Node, known: Study) -> None:
    """The runtime lets vectors of one element pass for numbers only where it does not see their shape."""
    for i, value in enumerate(node.inputs):
        if value is None or (known.shape(value) or dims(value)) != (1,):
            continue
        name = f"sal/fold/number/{node.outputs[0].name}/{i}"
        target = add_initializer(graph, f"{name}/shape", ir.tensor(np.zeros(0, np.int64)))
        reshape = ir.node("Reshape", [value, target], name=name)
        reshape.outputs[0].name = name
        graph.insert_before(node, reshape)
        node.replace_input_with(i, reshape.outputs[0])


def _arrays(node: ir.Node, known: Study) -> list[Array] | None:
    if any(v.is_graph_output() for v in node.outputs):
        return None
    arrays = [known.constant(v) for v in node.outputs]
    found = [a for a in arrays if a is not None]
    return found if found and len(found) == len(arrays) else None


def _free_target(graph: ir.Graph, node: ir.Node, known: Study) -> None:
    """Exports work the target out from the picture's shape; with one axis left open it is a constant."""
    target = node.inputs[1]
    shape = settled(known.shape(node.outputs[0]))
    if target is None or target.const_value is not None or shape is None:
        return
    name = f"sal/fold/target/{node.outputs[0].name}"
    node.replace_input_with(1, add_initializer(graph, name, ir.tensor(np.array(shape, np.int64))))


def _as_reshape(graph: ir.Graph, node: ir.Node, known: Study) -> None:
    """A Gather of every element of a vector in order, as which strided views are exported, is a Reshape."""
    source, indices, old = node.inputs[0], node.inputs[1], node.outputs[0]
    table = None if indices is None or indices.const_value is None else indices.const_value.numpy()
    if table is None or source is None or known.shape(source) != (table.size,) or known.dtype(old) is None:
        return
    if not np.array_equal(table.reshape(-1), np.arange(table.size)):
        return
    old.type, old.shape = ir.TensorType(known.dtype(old) or ir.DataType.FLOAT), ir.Shape(table.shape)
    target = ir.tensor(np.array(table.shape, np.int64))
    shape = add_initializer(graph, f"sal/fold/target/{old.name}", target)
    reshape = ir.node("Reshape", [source, shape], name=node.name)
    ir.convenience.replace_nodes_and_values(graph, node, [node], [reshape], [old], reshape.outputs)
