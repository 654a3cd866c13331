"""Finding the picture: the input, and the explained value behind preprocessing that is part of the graph."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.anatomy import Entry
from onnxsal.errors import UnsupportedError
from onnxsal.graph import attributes, dims
from onnxsal.graph.shapes import Dim, is_float

_PASSED = frozenset({"Cast", "QuantizeLinear", "DequantizeLinear", "Transpose", "Identity"})
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div"})
_IMAGE_OPERATORS = frozenset({"Conv", "QLinearConv", "ConvInteger", "MaxPool", "AveragePool", "DepthToSpace",
                              "SpaceToDepth", "BatchNormalization", "InstanceNormalization"})  # fmt: skip
"""Operators that have channels as their second axis."""

_CHANNELS = (1, 3, 4)
_FED = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


@dataclass(frozen=True)
class _Step:
    """A value of the preprocessing, and where the input's axes 0 to 3 went."""

    value: ir.Value
    order: tuple[int, ...] = (0, 1, 2, 3)


def find_entry(graph: ir.Graph) -> Entry:
    """Return where a model takes its picture.

    Raises: UnsupportedError: there is not exactly one input, or it has not the shape of a batch of pictures.
    """
    if len(graph.inputs) != 1 or (axes := _axes(graph.inputs[0])) is None:
        shown = ", ".join(f"{v.name!r} {_shown(v)}" for v in graph.inputs)
        raise UnsupportedError(
            "onnxsal explains models of one picture, [B, C, H, W] or [B, H, W, C] of numbers; "
            f"this one takes {shown or 'nothing'}"
        )
    source = graph.inputs[0]
    if is_float(source) and source.dtype not in _FED:
        raise UnsupportedError(
            f"the model's input {source.name!r} is {str(source.dtype).lower()}, in which ONNX Runtime takes no "
            "pictures; export the model in float32 or float16"
        )
    explained = _explained(source, axes)
    shape = dict(zip(axes, dims(source) or (), strict=True))
    height, width = shape["H"], shape["W"]
    return Entry(
        input=str(source.name), value=str(explained.value.name), dtype=source.dtype or ir.DataType.FLOAT,
        input_axes=axes, value_axes=_moved(axes, explained.order), channels=_channels(shape["C"], source),
        size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
    )  # fmt: skip


def _axes(value: ir.Value) -> str | None:
    """Return ``NCHW`` or ``NHWC``; the operator that the picture goes into decides, else the axis of few channels."""
    shape = dims(value)
    if shape is None or len(shape) != 4 or value.dtype in (None, ir.DataType.STRING, ir.DataType.BOOL):
        return None
    last = _chain(value)[-1]
    if any(node.op_type in _IMAGE_OPERATORS and not node.domain for node in last.value.consumers()):
        found = "".join("NCHW"[last.order.index(axis)] for axis in range(4))
        return found if found in ("NCHW", "NHWC") else None
    return _by_channels(shape)


def _by_channels(shape: tuple[Dim, ...]) -> str | None:
    if shape[1] in _CHANNELS and not (shape[1] == 1 and shape[3] == 3):
        return "NCHW"
    if shape[3] in _CHANNELS:
        return "NHWC"
    return "NCHW" if not isinstance(shape[1], int) else None


def _moved(axes: str, order: tuple[int, ...]) -> str:
    return "".join(axes[axis] for axis in order)


def _channels(size: Dim, source: ir.Value) -> int:
    """Return the number of channels; where the file leaves it open, that which the first convolution takes."""
    if isinstance(size, int):
        return size
    for node in _chain(source)[-1].value.consumers():
        shape = dims(node.inputs[1]) if node.op_type == "Conv" and node.inputs[1] is not None else None
        if shape is not None and isinstance(shape[1], int):
            return shape[1] * int(attributes(node).get("group", 1))
    return 3


def _explained(value: ir.Value, axes: str) -> _Step:
    """Return the last float value of the chain of fixed, elementwise preprocessing that starts at an input."""
    fitting = [s for s in _chain(value) if is_float(s.value) and _moved(axes, s.order) in ("NCHW", "NHWC")]
    return fitting[-1] if fitting else _Step(value)


def _chain(value: ir.Value) -> list[_Step]:
    steps = [_Step(value)]
    while (following := _next(steps[-1])) is not None:
        steps.append(following)
    return steps


def _next(step: _Step) -> _Step | None:
    value, nodes = step.value, list(step.value.consumers())
    if len(nodes) != 1 or value.is_graph_output() or len(nodes[0].outputs) != 1 or nodes[0].domain:
        return None
    (node,) = nodes
    after = node.outputs[0]
    if node.op_type == "Transpose":
        perm = attributes(node).get("perm") or [3, 2, 1, 0]
        return _Step(after, tuple(step.order[p] for p in perm)) if perm[0] == 0 else None
    if dims(after) != dims(value):
        return None
    constants = [v for v in node.inputs if v is not None and v is not value]
    fixed = node.op_type in _ARITHMETIC and all(map(_is_fixed, constants))
    passed = node.op_type in _PASSED and node.inputs[0] is value
    return _Step(after, step.order) if fixed or passed else None


def _is_fixed(value: ir.Value) -> bool:
    """A constant, or one that a quantised model stores in integers."""
    maker = value.producer()
    if maker is None or maker.op_type != "DequantizeLinear":
        return value.const_value is not None
    return all(v is None or v.const_value is not None for v in maker.inputs)


def _shown(value: ir.Value) -> str:
    shape = dims(value)
    text = "of unknown rank" if shape is None else "[" + ", ".join(str(d or "?") for d in shape) + "]"
    return text if value.dtype is None else f"{text} of {value.dtype.name.lower()}"
