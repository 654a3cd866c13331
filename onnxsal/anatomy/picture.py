"""Finding the picture: the input, and the explained value behind preprocessing that is part of the graph."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.anatomy.parts import Picture
from onnxsal.errors import UnsupportedError
from onnxsal.graph import attributes, dims
from onnxsal.graph.shapes import is_float

_PASSED = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear", "Transpose", "Identity"})
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div"})
_CHANNELS = (1, 3, 4)


def find_picture(graph: ir.Graph) -> Picture:
    """Return where a model takes its picture.

    Raises: UnsupportedError: no input, or more than one, has the shape of a picture.
    """
    pictures = [v for v in graph.inputs if _axes(v) is not None]
    if len(pictures) != 1 or len(graph.inputs) != 1:
        shown = ", ".join(f"{v.name!r} {_shown(v)}" for v in graph.inputs)
        raise UnsupportedError(
            f"onnxsal explains models of one picture, [B, C, H, W] or [B, H, W, C]; this one takes {shown or 'nothing'}"
        )
    (source,) = pictures
    value = _explained(source)
    axes, value_axes = str(_axes(source)), _axes(value) or "NCHW"
    shape = dims(source) or ()
    size = shape[2:] if axes == "NCHW" else shape[1:3]
    channels = shape[1 if axes == "NCHW" else 3]
    known = (size[0], size[1]) if isinstance(size[0], int) and isinstance(size[1], int) else None
    return Picture(
        input=str(source.name), value=str(value.name), dtype=source.dtype or ir.DataType.FLOAT, input_axes=axes,
        value_axes=value_axes, channels=channels if isinstance(channels, int) else 3, size=known,
    )  # fmt: skip


def _axes(value: ir.Value) -> str | None:
    """Return ``NCHW`` or ``NHWC``; a convolution that reads the value decides, else the axis of 1, 3 or 4 channels."""
    shape = dims(value)
    if shape is None or len(shape) != 4:
        return None
    if any(node.op_type == "Conv" for node in value.consumers()):
        return "NCHW"
    if shape[1] in _CHANNELS and not (shape[1] == 1 and shape[3] == 3):
        return "NCHW"
    if shape[3] in _CHANNELS:
        return "NHWC"
    return "NCHW" if shape[1] is None or isinstance(shape[1], str) else None


def _explained(value: ir.Value) -> ir.Value:
    """Return the last float value of the chain of fixed, elementwise preprocessing that starts at an input."""
    best, current = value, value
    while (following := _only_step(current)) is not None:
        current = following
        if is_float(current) and len(dims(current) or ()) == 4:
            best = current
    return best


def _only_step(value: ir.Value) -> ir.Value | None:
    nodes = list(value.consumers())
    if len(nodes) != 1 or value.is_graph_output() or len(nodes[0].outputs) != 1:
        return None
    (node,) = nodes
    if node.op_type in _PASSED and not node.domain and node.inputs[0] is value and _keeps_batch(node):
        return node.outputs[0]
    constants = [v for v in node.inputs if v is not None and v is not value]
    fixed = node.op_type in _ARITHMETIC and not node.domain and all(v.const_value is not None for v in constants)
    return node.outputs[0] if fixed else None


def _keeps_batch(node: ir.Node) -> bool:
    return node.op_type != "Transpose" or attributes(node).get("perm", [1])[0] == 0


def _shown(value: ir.Value) -> str:
    shape = dims(value)
    return "of unknown rank" if shape is None else "[" + ", ".join(str(d or "?") for d in shape) + "]"
