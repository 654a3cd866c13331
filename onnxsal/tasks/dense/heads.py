"""Where dense scores are in a graph, and what proves it."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.anatomy.parts import Entry
from onnxsal.errors import UnsupportedError
from onnxsal.graph import attributes, dims
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.registry import recognise
from onnxsal.tasks.outputs import behind, main_output

_ACTIVATIONS = {"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid"}
_OVER = frozenset({"Softmax", "LogSoftmax", "ArgMax"})
"""What goes over the axis of the classes."""


@dataclass(frozen=True)
class DenseHead:
    """What ``Dense`` is made of."""

    output: str
    logit: str
    probability: str | None
    activation: str
    axis: int
    classes: int
    grid: tuple[int, int]


def main_head(graph: ir.Graph, *, proven: bool) -> DenseHead:
    """Return the head of the main one of the outputs that have one.

    Args: proven: a Softmax, Sigmoid or ArgMax goes over the classes; else shapes that allow them are enough.
    Raises: UnsupportedError: no output has one.
    """
    entry = recognise(graph)[1]
    found = [(output, _behind(output, entry, proven=proven)) for output in graph.outputs]
    heads = [(output, head) for output, head in found if isinstance(head, DenseHead)]
    if heads:
        return heads[main_output([output for output, _ in heads])][1]
    reasons = "; ".join(f"{output.name!r} {reason}" for output, reason in found)
    raise UnsupportedError(f"none is proven to hold one score per class of every position: {reasons}")


def _behind(output: ir.Value, entry: Entry, *, proven: bool) -> DenseHead | str:
    """Return the head behind an output, or why there is none."""
    chain = list(behind(output))
    activated = next((v for v in chain if _made_by(v) in _ACTIVATIONS), None)
    rest = chain if activated is None else list(behind(_operand(activated)))
    logit = next((v for v in rest if is_float(v) and _is_dense(v)), None)
    if logit is None:
        return "has not the shape [batch, classes, height, width]"
    over = next((v for v in chain if _made_by(v) in _OVER), None)
    shape = tuple(int(d) for d in (dims(logit) or ())[1:] if isinstance(d, int))
    axis = _axis_of(over) if over is not None else _axis_by(shape, entry.size)
    if axis is None:
        return f"has shape {list(shape)} behind the batch, and nothing says which of its axes holds the classes"
    classes, grid = shape[axis - 1], (shape[1], shape[2]) if axis == 1 else (shape[0], shape[1])
    if proven and over is None and (why := _unproven(activated, classes, grid, entry)):
        return f"{why}; if its channels are classes, say so: task='dense' (--task dense)"
    made = "" if activated is None else _made_by(activated)
    held = None if activated is None or made == "LogSoftmax" else str(activated.name)
    activation = "sigmoid" if classes == 1 else _ACTIVATIONS.get(made, "softmax")
    return DenseHead(str(output.name), str(logit.name), held, activation, axis, classes, grid)


def _unproven(activated: ir.Value | None, classes: int, grid: tuple[int, int], entry: Entry) -> str:
    """Return why nothing proves classes where neither Softmax nor ArgMax goes over them, or an empty text."""
    if activated is None:
        return "has no Softmax, Sigmoid or ArgMax"
    if classes > 1 and (classes, grid) == (entry.channels, entry.size):
        return "has the shape of the picture itself, which a Sigmoid may well put out"
    return ""


def _made_by(value: ir.Value) -> str:
    node = value.producer()
    return "" if node is None or node.domain else node.op_type


def _operand(value: ir.Value) -> ir.Value | None:
    node = value.producer()
    return None if node is None else node.inputs[0]


def _is_dense(value: ir.Value) -> bool:
    shape = dims(value)
    return shape is not None and len(shape) == 4 and all(isinstance(d, int) for d in shape[1:])


def _axis_of(value: ir.Value) -> int | None:
    """Return the axis of the classes, over which a Softmax or an ArgMax goes."""
    node = value.producer()
    axis = None if node is None else int(attributes(node).get("axis", 0 if node.op_type == "ArgMax" else -1)) % 4
    return axis if axis in (1, 3) else None


def _axis_by(shape: tuple[int, ...], size: tuple[int, ...] | None) -> int | None:
    """Return the axis of the classes where the other two are the picture's height and width, made smaller alike."""
    if size is None or len(size) != 2:
        return None
    height, width = size
    pairs = {1: shape[1:], 3: shape[:2]}
    fits = [axis for axis, (h, w) in pairs.items() if min(h, w) > 1 and h * width == w * height]
    return fits[0] if len(fits) == 1 else None
