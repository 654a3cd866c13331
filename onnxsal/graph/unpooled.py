"""The indices of a MaxUnpool have its data's number of axes: what infers shapes is told so where a graph does not say.

onnx up to 1.21, and ONNX Runtime up to 1.27 as it loads a model, read through a null pointer there: the process ends.
"""

from __future__ import annotations

import onnx_ir as ir


def unpooled_rank(node: ir.Node) -> int | None:
    """Return the number of axes of a MaxUnpool's indices; None of another node, or where its windows are not told."""
    kernel = node.attributes.get("kernel_shape")
    if node.op_type != "MaxUnpool" or node.domain or len(node.inputs) < 2 or kernel is None or kernel.is_ref():
        return None
    return 2 + len(kernel.as_ints())


def lacks_ranks(model: ir.Model) -> bool:
    """Return whether there is anything for ``write_ranks`` to do."""
    return any(_indices(node) is not None for node in model.graph.all_nodes())


def write_ranks(model: ir.Model) -> None:
    """Give indices without a shape one of open sizes, in bodies too, in place."""
    for node in model.graph.all_nodes():
        if (value := _indices(node)) is not None:
            value.type = value.type or ir.TensorType(ir.DataType.INT64)
            value.shape = ir.Shape([None] * (unpooled_rank(node) or 0))


def _indices(node: ir.Node) -> ir.Value | None:
    value = None if unpooled_rank(node) is None else node.inputs[1]
    return value if value is not None and value.shape is None else None
