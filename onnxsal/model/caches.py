"""What a decoder keeps of what came before it: whether it may be nothing, and the sizes that its readers prove."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.graph.attributes import attributes
from onnxsal.graph.shapes import is_float
from onnxsal.model.defaults import Fill
from onnxsal.model.dimensions import Dimensions, declared

_MOVERS = frozenset({"Cast", "DequantizeLinear", "Expand", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze",
                     "Transpose", "Unsqueeze"})  # fmt: skip
_LENGTH, _HEAD = 2, 3
"""Axes of keys and values as operators of attention take them, [B, heads, tokens, width of a head]."""

_GROUPED = "GroupQueryAttention"
_ASKED = {"MultiHeadAttention": (1, 2), "DecoderMaskedMultiHeadAttention": (1, 2), "Attention": (1, 2)}
"""Slots of keys and values that are all there is, and may be nothing at no time."""

NOTHING = ("nothing", "what came before: the text is all there is")
ROOM = ("0 everywhere", "room for what came before: the text is all there is, and nothing in it counts")
"""What is held, and why."""


def before(value: ir.Value, known: Dimensions) -> Fill | None:
    """Return what an input of what came before is held at: nothing, or room of the size that its reader asks for.

    None where nothing proves that the text's own keys are joined to it (those of an encoder's states stand alone), or
    its size.
    """
    shape, dtype = declared(value), value.dtype
    readers = list(_readers(value))
    if shape is None or dtype is None or not is_float(value) or not any(_joins(*reader) for reader in readers):
        return None
    if any(_stands_alone(*reader) for reader in readers):
        return None
    sizes = {axis: size for node, _ in readers for axis, size in _proven(node).items() if axis < len(shape)}
    batch = known.batch_axis(shape)
    found = [1 if i == batch else d if isinstance(d, int) else sizes.get(i) for i, d in enumerate(shape)]
    free = [i for i, size in enumerate(found) if size is None]
    in_room = not free and any(node.op_type == _GROUPED for node, _ in readers)
    if len(free) != 1 and not in_room:
        return None
    array = np.zeros([size or 0 for size in found], dtype.numpy())
    return Fill(array, {} if batch is None else {batch: 0}, *(ROOM if in_room else NOTHING))


def _readers(value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    """Yield what reads a value, past what only moves it, and at which of its inputs."""
    for node, at in value.uses():
        if node.op_type in _MOVERS and not node.domain and at == 0:
            for output in node.outputs:
                yield from _readers(output)
        elif node.op_type not in ("Shape", "Size"):
            yield node, at


def _joins(node: ir.Node, at: int) -> bool:
    """Whether a reader puts what is new behind it."""
    if node.domain:
        return at not in _ASKED.get(node.op_type, ())
    return node.op_type == "Concat" or (node.op_type == "Attention" and at not in _ASKED["Attention"])


def _stands_alone(node: ir.Node, at: int) -> bool:
    """Whether a reader asks what is there, without anything new beside it."""
    return node.op_type in ("MatMul", "Gemm", "Einsum", "FusedMatMul") or at in _ASKED.get(node.op_type, ())


def _proven(node: ir.Node) -> dict[int, int]:
    """Return the sizes that an operator of attention says of its keys and values."""
    a = attributes(node)
    if node.op_type == _GROUPED and node.domain:
        window = a.get("local_window_size", -1)
        slides = {_LENGTH: window} if a.get("sliding_window_cache") and window > 0 else {}
        heads = a["num_heads"] + (0 if node.inputs[1] is not None else 2 * a["kv_num_heads"])
        return slides | _head(_width(node.inputs[0]), heads)
    if node.op_type == "MultiHeadAttention":
        return _head(_width(node.inputs[0]), a["num_heads"])
    return {}


def _head(width: int | None, heads: int) -> dict[int, int]:
    return {_HEAD: width // heads} if width is not None and width % heads == 0 else {}


def _width(value: ir.Value | None) -> int | None:
    """Return the length of a value's last axis, as the file says it or what makes the value does."""
    shape, node = (None, None) if value is None else (dims(value), value.producer())
    if shape and isinstance(shape[-1], int):
        return shape[-1]
    if node is None:
        return None
    if node.op_type == "MatMulNBits":
        return node.attributes["N"].as_int()
    behind = node.inputs[1:] if node.op_type == "MatMul" else node.inputs if node.op_type == "Add" else ()
    return next((_width(v) for v in behind if v is not None and v.is_initializer()), None)
