"""The part of a model above a layer, as a program of its own: what a draw inside the model has to run again."""

from __future__ import annotations

import math

import onnx_ir as ir

from onnxsal.anatomy import Layer, X
from onnxsal.anatomy.steps import steps_of
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Program, Tape, dims
from onnxsal.graph.cut import cut
from onnxsal.graph.program import Trace
from onnxsal.graph.shapes import is_float


def submodel(score: Program, layer: Layer, *, flat: bool = False) -> Program:
    """Return the program from a layer's maps to ``score``; the maps, [B, K, h, w], are its input ``sal/x``.

    Args: flat: the input is [B, 1, K, h w] instead, so that a map is a row.
    Raises: UnsupportedError: the score depends on the picture by other ways too, so the maps are not all it needs.
    """
    op = score.extend()
    image, old = op[X], op[layer.name]
    shape = [1, layer.channels, math.prod(layer.grid)] if flat else [layer.channels, *layer.grid]
    batch = (dims(image) or ("batch",))[0]
    maps = op.input("sal/maps", ir.DataType.FLOAT, [batch, *shape])

    def fed() -> ir.Value:
        value = op.Reshape(maps, [-1, layer.channels, *layer.grid]) if flat else maps
        return _as_it_was(op, _in_layout(op, value, layer), old)

    cut(op, old, fed)
    return _without_image(op, image, maps, layer)


def _without_image(op: Trace, image: ir.Value, maps: ir.Value, layer: Layer) -> Program:
    program = op.finish(score=op["score"])
    if image.uses():
        raise UnsupportedError(
            f"layer {layer.name!r} is bypassed: the score depends on the picture by other ways too, so the part above "
            "it cannot run alone; choose a later layer (see `onnxsal layers MODEL`)"
        )
    program.model.graph.inputs.remove(image)
    image.name, maps.name = "sal/gone", X
    return program


def _in_layout(op: Tape, maps: ir.Value, layer: Layer) -> ir.Value:
    """Return maps [B, K, h, w] in the layout that the layer's value has."""
    if not layer.is_tokens:
        maps = op.Squeeze(maps, layer.lacking) if layer.absent else maps
        order = [0, layer.channel_axis, *layer.spatial_axes]
        back = [order.index(axis) for axis in range(len(order))]
        return maps if back == sorted(back) else op.Transpose(maps, perm=back)
    if layer.dropped_tokens or layer.trailing_tokens:
        raise UnsupportedError(
            f"layer {layer.name!r} has tokens that are no place in the picture (class token, registers); maps alone "
            "do not make it whole. Use score-cam or occlusion, which mask the picture"
        )
    rows = op.Reshape(maps, [0, layer.channels, math.prod(layer.grid)])
    return rows if layer.channel_axis == 1 else op.Transpose(rows, perm=[0, 2, 1])


def _as_it_was(op: Tape, value: ir.Value, old: ir.Value) -> ir.Value:
    """Return a float value in the type of the one it replaces, quantised again where that was."""
    node, steps = old.producer(), None if is_float(old) else steps_of(old)
    if steps is not None and node is not None and node.op_type != "QuantizeLinear":
        return op.QuantizeLinear(value, *steps)
    if node is None or node.op_type != "QuantizeLinear":
        return op.cast(value, old.dtype)
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else None
    return op.QuantizeLinear(value, *node.inputs[1:], axis=axis)
