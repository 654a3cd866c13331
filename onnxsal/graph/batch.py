"""Giving a model that was exported for a fixed number of images a batch axis of any length, or a fixed picture size.

What is rewritten: input shapes; targets of Reshape, Expand and Resize that spell the batch out; constants (class
tokens) that are concatenated with images. Whether the result is right is not proven here: the caller runs both and
compares.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.errors import ModelError
from onnxsal.graph.cut import placed
from onnxsal.graph.infer import BATCH, infer_shapes
from onnxsal.graph.normal import normalise
from onnxsal.graph.places import Place, Places, follow_images, given_axes
from onnxsal.graph.shapes import dims, static
from onnxsal.graph.tape import Tape


def fixed_batch(model: ir.Model, name: str) -> int | None:
    """Return the batch size that the input ``name`` is fixed to, or None where it is free."""
    shape = dims(_input(model, name))
    return shape[0] if shape and isinstance(shape[0], int) else None


def free_batch(model: ir.Model, name: str) -> ir.Model:
    """Return a copy of a model in normal form whose input ``name`` takes any number of images.

    The model itself comes back where no output would have the batch in front: its images go through one by one.
    """
    count = fixed_batch(model, name)
    if count is None:
        return model
    work = model.clone()
    images = _input(work, name)
    places = follow_images(work.graph, images, count)
    _rewrite(work.graph, places)
    images.shape = ir.Shape([BATCH, *(dims(images) or (None,))[1:]])
    return work if _has_batch(work, images) else model


def set_size(model: ir.Model, name: str, sizes: dict[int, int]) -> ir.Model:
    """Return a copy of a model in normal form with these axes of the input ``name`` fixed (a picture's height, width).

    Raises: ModelError: the model cannot take that size.
    """
    work = model.clone()
    value = _input(work, name)
    value.shape = ir.Shape([sizes.get(i, d) for i, d in enumerate(dims(value) or ())])
    _forget_shapes(work.graph, value)
    return normalise(work)


def _input(model: ir.Model, name: str) -> ir.Value:
    return next(v for v in model.graph.inputs if v.name == name)


def _has_batch(model: ir.Model, images: ir.Value) -> bool:
    _forget_shapes(model.graph, images)
    try:
        infer_shapes(model)
    except ModelError:
        return False
    return any((dims(v) or (None,))[0] == BATCH for v in model.graph.outputs)


def _forget_shapes(graph: ir.Graph, images: ir.Value) -> None:
    data: set[ir.Value | None] = {images}
    for node in graph:
        if any(v in data for v in node.inputs):
            data.update(node.outputs)
            for value in node.outputs:
                value.shape = None


def _rewrite(graph: ir.Graph, places: Places) -> None:
    op = Tape(graph)
    for node in list(graph):
        place, out = places.get(node.outputs[0]), static(node.outputs[0])
        if place is None or out is None or node.domain:
            continue
        with placed(graph, before=node):
            _rewrite_one(op, node, place, out, places)


def _rewrite_one(op: Tape, node: ir.Node, place: Place, out: tuple[int, ...], places: Places) -> None:
    if node.op_type == "Reshape":
        node.replace_input_with(1, op.const([*out[: place.axis], -1, *out[place.axis + 1 :]], ir.DataType.INT64))
    elif node.op_type in ("Expand", "Resize"):
        _free_target(op, node, place, out)
    elif node.op_type == "Concat":
        _widen_constants(op, node, place, places)
    elif node.op_type == "Squeeze" and given_axes(node) is None:
        _name_axes(op, node, places)


def _free_target(op: Tape, node: ir.Node, place: Place, out: tuple[int, ...]) -> None:
    """The size of the images' axis is read off the data; that of an Expand stays 1, which broadcasts."""
    index = 1 if node.op_type == "Expand" else 3
    source, target = node.inputs[0], node.inputs[index] if len(node.inputs) > index else None
    if source is None or target is None or place.inner != 1:
        return
    if node.op_type == "Expand":
        sizes = op.const([1 if i == place.axis else d for i, d in enumerate(out)], ir.DataType.INT64)
    else:
        sizes = _sizes(op, source, place, out)
    node.replace_input_with(index, sizes)


def _sizes(op: Tape, images: ir.Value, place: Place, shape: tuple[int, ...]) -> ir.Value:
    """Return ``shape`` with the number of images in it, as data."""
    axis = place.axis
    parts = [op.const(np.array(part, np.int64)) for part in (shape[:axis], shape[axis + 1 :]) if part]
    count = op.Shape(images, start=axis, end=axis + 1)
    parts.insert(1 if axis else 0, count)
    return op.Concat(*parts, axis=0)


def _widen_constants(op: Tape, node: ir.Node, place: Place, places: Places) -> None:
    images = next((v for v in node.inputs if v is not None and places.get(v) == place), None)
    for i, value in enumerate(node.inputs):
        shape = static(value) if value is not None and value not in places else None
        if value is None or images is None or shape is None or place.inner != 1:
            continue
        if node.attributes["axis"].as_int() % len(shape) != place.axis:
            row = value if shape[place.axis] == 1 else op.Slice(value, [0], [1], [place.axis])
            node.replace_input_with(i, op.Expand(row, _sizes(op, images, place, shape)))


def _name_axes(op: Tape, node: ir.Node, places: Places) -> None:
    """A Squeeze of every axis of one must leave that of a lone image."""
    source = node.inputs[0]
    shape = None if source is None else static(source)
    if source is None or shape is None or source not in places:
        return
    axes = [i for i, size in enumerate(shape) if size == 1 and i != places[source].axis]
    if not axes:  # an empty list of axes is to ONNX Runtime what no list is
        _pass_on(node, source)
        return
    node.resize_inputs(2)
    node.replace_input_with(1, op.const(axes, ir.DataType.INT64))


def _pass_on(node: ir.Node, source: ir.Value) -> None:
    """Let a node be the identity, under its own name and that of its output."""
    old, graph = node.outputs[0], node.graph
    made = ir.node("Identity", [source], name=node.name)
    made.outputs[0].type, made.outputs[0].name, old.name = old.type, old.name, None
    old.replace_all_uses_with(made.outputs[0], replace_graph_outputs=True)
    assert graph is not None
    graph.insert_before(node, made)
    graph.remove(node, safe=True)
