"""Finding the picture: the input, and the explained value behind preprocessing that is part of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnxsal.anatomy import Entry
from onnxsal.anatomy.entry import FED, explained_at, shown, steps_from
from onnxsal.errors import UnsupportedError
from onnxsal.graph import attributes, dims
from onnxsal.graph.shapes import Dim, rank
from onnxsal.modalities.image.geometry import front

_IMAGE_OPERATORS = frozenset({"Conv", "QLinearConv", "ConvInteger", "MaxPool", "AveragePool", "DepthToSpace",
                              "SpaceToDepth", "BatchNormalization", "InstanceNormalization"})  # fmt: skip
"""Operators that have channels as their second axis."""

_KEEPING = frozenset({
    "Abs", "Add", "Cast", "Clip", "Concat", "DequantizeLinear", "Div", "Dropout", "Erf", "Exp", "Gather", "Identity",
    "LeakyRelu", "Log", "LpNormalization", "Max", "Mean", "MeanVarianceNormalization", "Min", "Mul", "Neg", "Pad",
    "Pow", "QuantizeLinear", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
    "Relu", "Resize", "Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Sub", "Sum", "Tanh", "Tile", "Upsample", "Where",
})  # fmt: skip
"""Operators that leave axes in their order where they leave their number."""

_FOLLOWED = 400
"""Nodes in which the first image operator is looked for."""

_CHANNELS = (1, 3, 4)
_LAYOUTS = ("NCHW", "NHWC")

Order = tuple[int, ...] | None


def find_entry(graph: ir.Graph) -> Entry:
    """Return where a model takes its picture.

    Raises: UnsupportedError: there is not exactly one input, or it has not the shape of a batch of pictures.
    """
    if len(graph.inputs) != 1:
        raise _no_picture(graph.inputs)
    return entry_of(graph, graph.inputs[0])


def _no_picture(inputs: Sequence[ir.Value]) -> UnsupportedError:
    taken = ", ".join(f"{v.name!r} {shown(v)}" for v in inputs)
    return UnsupportedError(
        "onnxsal explains models of one picture, [B, C, H, W] or [B, H, W, C] of numbers, or one array of floats; "
        f"this one takes {taken or 'nothing'}"
    )


def entry_of(graph: ir.Graph, source: ir.Value) -> Entry:
    """Return where an input of a graph, perhaps of several, takes a picture.

    Raises: UnsupportedError: it has not the shape of a batch of pictures.
    """
    axes = _axes(source)
    if axes is None:
        raise _no_picture([source])
    if source.dtype is not None and source.dtype not in FED and source.dtype.numpy().kind not in "iu":
        raise UnsupportedError(
            f"the model's input {source.name!r} is {str(source.dtype).lower()}, in which ONNX Runtime takes no "
            "pictures; export the model in float32 or float16"
        )
    explained = explained_at(source, axes, _LAYOUTS if axes in _LAYOUTS else (axes,))
    shape = dict(zip(axes, dims(source) or (), strict=True))
    height, width = shape["H"], shape["W"]
    return Entry(
        input=str(source.name), value=str(explained.value.name), dtype=source.dtype or ir.DataType.FLOAT,
        input_axes=axes, value_axes=explained.axes(axes), channels=_channels(shape["C"], source),
        size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
        resized=front(graph, source) is not None,
    )  # fmt: skip


def _axes(value: ir.Value) -> str | None:
    """Return ``NCHW`` or ``NHWC``; the operator that the picture goes into decides, else the axis of few channels."""
    shape = dims(value)
    if shape is not None and len(shape) == 5:
        return _of_one_frame(value, shape)
    if shape is None or len(shape) != 4 or value.dtype in (None, ir.DataType.STRING, ir.DataType.BOOL):
        return None
    last = steps_from(value, 4)[-1]
    if any(node.op_type in _IMAGE_OPERATORS and not node.domain for node in last.value.consumers()):
        found = "".join("NCHW"[last.order.index(axis)] for axis in range(4))
        return found if found in _LAYOUTS else None
    proved = _by_channels(shape) or order_by_following(value, "NCHW")
    return proved if proved in _LAYOUTS else None


def _of_one_frame(value: ir.Value, shape: tuple[Dim, ...]) -> str | None:
    """Return the layout of a film of one frame, ``NC1HW`` or ``N1CHW``: a convolution has the channels in front.

    What that proves to have more than one frame is a volume.
    """
    proved = order_by_following(value, "NCDHW")
    for at in (1, 2) if proved is None else (proved.index("D"),):
        rest = _by_channels((*shape[:at], *shape[at + 1 :])) if shape[at] == 1 else None
        if rest is not None:
            return f"{rest[:at]}1{rest[at:]}"
    return None


def order_by_following(value: ir.Value, letters: str) -> str | None:
    """Return the layout of an input that the operators behind it prove, by following its axes to them.

    Args: letters: of the axes that such an operator takes, in its order, as ``NCHW``.
    """
    orders: dict[ir.Value | None, tuple[int, ...]] = {value: tuple(range(len(letters)))}
    graph, proved = value.graph, set[str]()
    for node in list(graph or ())[:_FOLLOWED]:
        read = [v for v in node.inputs if v in orders]
        if not read or node.domain:
            continue
        order = orders[read[0]]
        if node.op_type in _IMAGE_OPERATORS and node.inputs[0] is read[0]:
            proved.add("".join(letters[order.index(axis)] for axis in range(len(letters))))
        elif (after := _moved(node, read, orders)) is not None:
            orders.update(dict.fromkeys(node.outputs, after))
    return proved.pop() if len(proved) == 1 else None


def _moved(node: ir.Node, read: list[ir.Value | None], orders: Mapping[ir.Value | None, tuple[int, ...]]) -> Order:
    """Return the order of the input's axes behind a node, None where they are not followed."""
    order = orders[read[0]]
    if node.op_type == "Transpose":
        axes = list(range(len(order)))
        perm = attributes(node).get("perm") or axes[::-1]
        return tuple(order[p] for p in perm) if sorted(perm) == axes else None  # the runtime says what is wrong
    kept = node.op_type in _KEEPING and all(rank(v) == len(order) for v in node.outputs)
    return order if kept and all(orders[v] == order for v in read) else None


def _by_channels(shape: tuple[Dim, ...]) -> str | None:
    if shape[1] in _CHANNELS and not (shape[1] == 1 and shape[3] == 3):
        return "NCHW"
    if shape[3] in _CHANNELS:
        return "NHWC"
    return "NCHW" if not isinstance(shape[1], int) else None


def _channels(size: Dim, source: ir.Value) -> int:
    """Return the number of channels; where the file leaves it open, that which the first convolution takes."""
    if isinstance(size, int):
        return size
    for node in steps_from(source, 4)[-1].value.consumers():
        shape = dims(node.inputs[1]) if node.op_type == "Conv" and node.inputs[1] is not None else None
        if shape is not None and isinstance(shape[1], int):
            return shape[1] * int(attributes(node).get("group", 1))
    return 3
