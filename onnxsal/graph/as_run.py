"""What ONNX Runtime runs otherwise than the standard says, written as it is run: then shapes and rules follow it.

Seen in ONNX Runtime 1.20 to 1.32; tests hold every form against it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def write_as_run(graph: ir.Graph) -> None:
    """Rewrite, in place and in bodies too, what ONNX Runtime does not run as the standard says.

    1. A Squeeze with an empty list of axes takes away every axis of one; in the standard none.
    2. A Dropout in training mode between other nodes is removed by its optimiser, and drops nothing.
    3. A SplitToSequence by the number 1 without keepdims takes the axis away, as one without a number does; in the
       standard keepdims says nothing then. What is read from it at one place is a Gather, whose shape is known, as
       onnx's inference leaves the axis.
    """
    for each in (graph, *graph.subgraphs()):
        for node in each:
            if node.op_type == "Squeeze" and not node.domain and _names_no_axes(node):
                node.resize_inputs(1)
            elif node.op_type == "Dropout" and not node.domain and (is_optimised_away(node) or _keeps_all(node)):
                node.resize_inputs(min(len(node.inputs), 2))
            elif node.op_type == "SplitToSequence" and not node.domain and _takes_ones(node):
                node.resize_inputs(1)
                _read_by_gathers(node)


def is_optimised_away(node: ir.Node) -> bool:
    """Whether ONNX Runtime removes a Dropout although it is in training mode.

    It does where the data come from one node and nothing else does, nobody reads the mask, and the result is neither an
    output nor read by a body. What is fed as ``training_mode`` is left as it is: who feeds it may ask for dropping.
    """
    data, *others = [*node.inputs, None, None][:3]
    if data is None or not _made_in(data, node.graph) or any(_made_in(v, node.graph) for v in others):
        return False
    flag, y = others[1], node.outputs[0]
    fed = flag is not None and flag.is_graph_input()
    return not fed and not _mask_is_read(node) and not y.is_graph_output() and not _read_by_bodies(y, node.graph)


def drops(node: ir.Node) -> bool:
    """Whether a Dropout may drop something: in training mode, or in a mode that is computed."""
    flag = constant_of(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.array(False)
    return bool(flag is None or flag.any()) and not _ratio_is_zero(node)


def constant_of(value: ir.Value | None) -> NDArray[np.generic] | None:
    """Return what a value is where it is an initializer or comes out of a Constant."""
    if value is None:
        return None
    maker = value.producer()
    if maker is not None and maker.op_type == "Constant" and "value" in maker.attributes:
        return np.asarray(maker.attributes["value"].as_tensor().numpy())
    tensor = value.const_value
    return None if tensor is None else np.asarray(tensor.numpy())


def _names_no_axes(node: ir.Node) -> bool:
    axes = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    return axes is not None and axes.size == 0


def _takes_ones(node: ir.Node) -> bool:
    """Whether a sequence has every place of an axis, without that axis."""
    if "keepdims" not in node.attributes or node.attributes["keepdims"].as_int():
        return False
    sizes = constant_of(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else np.array(1)
    return sizes is not None and sizes.ndim == 0 and int(sizes) == 1


def _read_by_gathers(node: ir.Node) -> None:
    given = node.attributes.get("axis")
    axis = 0 if given is None else given.as_int()
    for use in node.outputs[0].uses():
        reader = use.node
        if reader.op_type != "SequenceAt" or reader.domain or reader.graph is None:
            continue
        (old,), own = reader.outputs, reader.graph
        gather = ir.node("Gather", [node.inputs[0], reader.inputs[1]], {"axis": axis}, name=reader.name)
        new = gather.outputs[0]
        new.type = node.inputs[0].type if node.inputs[0] is not None else None
        ir.convenience.replace_nodes_and_values(own, reader, [reader], [gather], [old], [new])


def _keeps_all(node: ir.Node) -> bool:
    """A mask that somebody reads is another in training mode: all true in place of all false before opset 12."""
    return _ratio_is_zero(node) and not _mask_is_read(node)


def _ratio_is_zero(node: ir.Node) -> bool:
    ratio = constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    return ratio is not None and not ratio.any()


def _made_in(value: ir.Value | None, graph: object) -> bool:
    """Whether a node of this graph makes a value; constants are initializers to the optimiser."""
    maker = None if value is None else value.producer()
    return maker is not None and maker.graph is graph and maker.op_type != "Constant"


def _mask_is_read(node: ir.Node) -> bool:
    return any(v.uses() or v.is_graph_output() for v in node.outputs[1:])


def _read_by_bodies(value: ir.Value, graph: object) -> bool:
    return any(use.node.graph is not graph for use in value.uses())
