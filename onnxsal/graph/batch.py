"""Giving a model that was exported for one image a batch axis of any length.

What is rewritten: input shapes; the targets of Reshape and Resize that spell the batch out; constants (class tokens)
that are concatenated with images. Whether the result is right is not proven here: the caller runs both and compares.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.graph.infer import BATCH, infer_shapes
from onnxsal.graph.shapes import dims, static
from onnxsal.graph.tape import Tape


def fixed_batch(model: ir.Model, name: str) -> int | None:
    """Return the batch size that the input ``name`` is fixed to, or None where it is free."""
    shape = dims(next(v for v in model.graph.inputs if v.name == name))
    return shape[0] if shape and isinstance(shape[0], int) else None


def free_batch(model: ir.Model, name: str) -> ir.Model:
    """Return a copy of a model in normal form whose input ``name`` takes any number of images."""
    work = model.clone()
    images = next(v for v in work.graph.inputs if v.name == name)
    data = _data_values(work.graph, images)
    _rewrite_targets(work.graph, data)
    images.shape = ir.Shape([BATCH, *(dims(images) or (None,))[1:]])
    for node in work.graph:
        for value in node.outputs:
            if value in data:
                value.shape = None
    infer_shapes(work)
    return work


def _data_values(graph: ir.Graph, images: ir.Value) -> set[ir.Value | None]:
    data: set[ir.Value | None] = {images}
    for node in graph:
        if any(v in data for v in node.inputs) and node.op_type not in ("Shape", "Size"):
            data.update(node.outputs)
    return data


def _rewrite_targets(graph: ir.Graph, data: set[ir.Value | None]) -> None:
    op = Tape(graph)
    for node in list(graph):
        if not any(v in data for v in node.inputs):
            continue
        out = static(node.outputs[0])
        if node.op_type == "Reshape" and out:
            # The batch leads, and everything behind it is known: one target fits every exporter's spelling.
            node.replace_input_with(1, op.const([-1, *out[1:]], ir.DataType.INT64))
        elif node.op_type == "Resize" and len(node.inputs) > 3 and node.inputs[3] is not None and out:
            _free_sizes(op, node, out)
        elif node.op_type == "Concat" and node.attributes["axis"].as_int() != 0:
            _expand_constants(op, node, data)


def _before(graph: ir.Graph, node: ir.Node, made: list[ir.Node]) -> None:
    graph.remove(made)
    graph.insert_before(node, made)


def _batch_of(op: Tape, value: ir.Value) -> ir.Value:
    return op.Shape(value, start=0, end=1)  # type: ignore[no-any-return]


def _free_sizes(op: Tape, node: ir.Node, out: tuple[int, ...]) -> None:
    source = node.inputs[0]
    if source is None:
        return
    sizes = op.Concat(_batch_of(op, source), op.const(np.array(out[1:], np.int64)), axis=0)
    node.replace_input_with(3, sizes)
    _move(op.graph, node, [sizes])


def _expand_constants(op: Tape, node: ir.Node, data: set[ir.Value | None]) -> None:
    images = next(v for v in node.inputs if v in data and v is not None)
    for i, value in enumerate(node.inputs):
        shape = static(value) if value is not None and value not in data else None
        if value is not None and shape and shape[0] == 1 and len(shape) > 1:
            rest = op.const(np.array(shape[1:], np.int64))
            wide = op.Expand(value, op.Concat(_batch_of(op, images), rest, axis=0))
            node.replace_input_with(i, wide)
            _move(op.graph, node, [wide])


def _move(graph: ir.Graph, node: ir.Node, values: list[ir.Value]) -> None:
    """Bring freshly taped nodes in front of the one that reads them."""
    made = [n for n in graph if n.outputs[0].name and n.outputs[0].name.startswith("sal/")]
    order = {n: i for i, n in enumerate(graph)}
    late = [n for n in made if order[n] > order[node]]
    if late:
        _before(graph, node, late)
