"""Whether a value holds one score per class, and what is said of one that does not."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.names import node_title
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.outputs import ancestors


def class_count(value: ir.Value) -> int | None:
    """Return the number of classes of a value [B, K], or [B, K, 1, 1] and the like."""
    shape = dims(value)
    if shape is None or len(shape) < 2:
        return None
    wide = [d for d in shape[1:] if d != 1]
    if not wide:
        return 1
    return wide[0] if len(wide) == 1 and isinstance(wide[0], int) else None


def same_batch(value: ir.Value, batch: int | str | None) -> bool:
    """Return whether the rows of a value are those of a batch, as far as both are known."""
    leading = (dims(value) or (None,))[0]
    return leading is None or batch is None or leading == batch


def over_classes(probability: ir.Value, classes: int) -> bool:
    """Return whether a value is made by an activation over its classes."""
    node = probability.producer()
    if node is None or node.op_type == "Sigmoid" or node.inputs[0] is None:
        return True
    shape = dims(node.inputs[0]) or ()
    axis = int(attributes(node).get("axis", -1))
    return -len(shape) <= axis < len(shape) and shape[axis] in (classes, None)


def instead(scores: Sequence[ir.Value], output: ir.Value) -> str:
    """Return what an output without a score per class is."""
    value = next((v for v in scores if is_float(v)), None)
    if not isinstance(output.type, ir.TensorType) and output.type is not None:
        return f"is a {'sequence or map' if value is None else 'sequence or map of scores that are not one per class'}"
    if lost := _lost_behind(scores):
        return f"has an unknown shape, for onnx knows none of what comes out of {', '.join(lost[:3])}"
    if value is None:
        return f"holds {output.dtype or 'values of unknown type'}, not float scores"
    rank = len(dims(value) or ())
    kinds = {3: ": rows of boxes or tokens?", 4: ": scores of every position, as in segmentation?"}
    return f"has shape {shape_shown(value)}, not [batch, classes]{kinds.get(rank, '')}"


def _lost_behind(scores: Sequence[ir.Value]) -> list[str]:
    """Return the operators behind scores of unknown shape at which shapes are lost: what they read is known."""
    unknown = [v for v in scores if dims(v) is None]
    nodes = {node for v in unknown for node in (v.producer(), *ancestors(v)) if node is not None}
    return sorted(node_title(node) for node in nodes if any(dims(v) is None for v in node.outputs) and _all_known(node))


def as_far(value: ir.Value) -> str:
    """Return which operators nobody sees through, where there are some on the way to a value."""
    lost = sorted(node_title(n) for n in ancestors(value) if any(dims(v) is None for v in n.outputs) and _all_known(n))
    return (
        f", as far as they can be followed: onnx knows none of what comes out of {', '.join(lost[:3])}" if lost else ""
    )


def _all_known(node: ir.Node) -> bool:
    return all(v is None or dims(v) is not None for v in node.inputs)


def shape_shown(value: ir.Value) -> str:
    """Return a shape as messages tell it."""
    return "[" + ", ".join(str(d or "?") for d in dims(value) or ()) + "]"
