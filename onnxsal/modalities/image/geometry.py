"""Whether a graph resizes its pictures itself, in front of everything that weighs them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxsal.anatomy import Entry
from onnxsal.errors import ModelError
from onnxsal.graph import dims
from onnxsal.graph.batch import set_size
from onnxsal.graph.program import values_by_name

_PASSED = frozenset({
    "Abs", "Add", "Cast", "CastLike", "Ceil", "CenterCropPad", "Clip", "Concat", "DequantizeLinear", "Div", "Expand",
    "Floor", "Gather", "Identity", "Max", "Min", "Mul", "Neg", "Pad", "Pow", "QuantizeLinear", "Reciprocal", "Resize",
    "Round", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Upsample", "Where",
})  # fmt: skip
"""What preprocessing consists of; anything else weighs a picture."""

_COUNTED = frozenset({"Shape", "Size"})
"""Operators that read only how large a picture is."""

_MOST = 200
"""Nodes of preprocessing that are looked at."""

_PROBED = ((256, 256), (512, 512))
"""Sizes at which a graph that computes its own is compared."""


def resizes(model: ir.Model, entry: Entry) -> str | None:
    """Return the first Resize of a graph that brings pictures of any size to one of its own, or None.

    Everything that weighs the picture must lie behind it, and be given the same sizes whatever the picture's own are:
    by the shapes where the graph names its size, else of two pictures, one twice as large as the other.
    """
    source = next(v for v in model.graph.inputs if v.name == entry.input)
    found = front(model.graph, source)
    if found is None:
        return None
    node, weighed = found
    if not all(_is_fixed(v) for v in weighed) and not _alike(model, entry, [str(v.name) for v in weighed]):
        return None
    return f"Resize {node.name or node.outputs[0].name!r}"


def front(graph: ir.Graph, source: ir.Value) -> tuple[ir.Node, list[ir.Value]] | None:
    """Return the first Resize behind an input and the values that what weighs them reads, all of them resized, or None.

    None too where a fixed factor resizes, so that the picture's own size decides.
    """
    pictures: dict[ir.Value, bool] = {source: False}
    first: ir.Node | None = None
    weighed: dict[ir.Value, None] = {}
    for node in list(graph)[:_MOST]:
        read = [v for v in node.inputs if v is not None and v in pictures]
        if not read or node.op_type in _COUNTED:
            continue
        if node.op_type not in _PASSED or node.domain:
            if not all(pictures[v] for v in read):
                return None
            weighed.update(dict.fromkeys(read))
            continue
        resized = node.op_type in ("Resize", "Upsample") and not _by_factor(node)
        first = node if resized and first is None else first
        pictures.update(dict.fromkeys(node.outputs, resized or all(pictures[v] for v in read)))
    return None if first is None or not weighed else (first, list(weighed))


def _by_factor(node: ir.Node) -> bool:
    """Whether it makes pictures larger or smaller by a fixed factor, so that theirs decides the size."""
    sizes = node.inputs[3] if len(node.inputs) > 3 else None
    scales = node.inputs[2] if len(node.inputs) > 2 else None
    return sizes is None and (scales is None or scales.const_value is not None)


def _is_fixed(value: ir.Value) -> bool:
    """Whether all but the batch axis is known, though the picture's size is open."""
    return all(isinstance(d, int) for d in (dims(value) or (None, None))[1:])


def _alike(model: ir.Model, entry: Entry, names: Sequence[str]) -> bool:
    """Whether values have the same shapes behind pictures of two sizes."""
    shapes = []
    for size in _PROBED:
        at = {entry.input_axes.index(letter): n for letter, n in zip(entry.spatial, size, strict=True)}
        try:
            values = values_by_name(set_size(model, entry.input, at).graph)
        except ModelError:
            return False
        shapes.append([dims(values[name]) if name in values else None for name in names])
    return shapes[0] == shapes[1] and all(shape is not None and None not in shape for shape in shapes[0])
