"""Attributes in full: schema defaults filled in, windows (kernel, strides, dilations, pads) written out.

This is a view: nodes stay as the user's file has them, because ONNX Runtime's fused operators refuse some attributes
that only spell out a default (``dilations`` of a quantised AveragePool is one).
"""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir

from onnxsal.graph.shapes import dims, static
from onnxsal.graph.tape import schema_of

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv"})
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})


def attributes(node: ir.Node) -> dict[str, Any]:
    """Return a node's attributes as Python values (graphs and tensors as ``onnx_ir`` has them), defaults included."""
    given = {name: attr.value for name, attr in node.attributes.items() if not attr.is_ref()}
    full = {**_defaults(node), **given}
    if not node.domain and node.op_type in _CONVOLUTIONS | _POOLS:
        full.update(_windows(node, full))
    return full


def _defaults(node: ir.Node) -> dict[str, Any]:
    opsets = node.graph.opset_imports if node.graph is not None else {}
    if node.domain not in opsets or not onnx.defs.has(node.op_type, opsets[node.domain], node.domain):
        return {}
    schema = schema_of(node.op_type, node.domain, opsets[node.domain])
    return {
        name: _text(onnx.helper.get_attribute_value(attribute.default_value))
        for name, attribute in schema.attributes.items()
        if attribute.default_value.type
    }


def _text(value: Any) -> Any:
    """Return text for what the protobuf has as bytes."""
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def _windows(node: ir.Node, known: dict[str, Any]) -> dict[str, Any]:
    kernel = known.get("kernel_shape") or _kernel(node)
    if kernel is None:
        return {}
    n = len(kernel)
    full = {"kernel_shape": list(kernel), "strides": [1] * n, "dilations": [1] * n, "pads": [0] * 2 * n}
    full.update({name: list(known[name]) for name in full if known.get(name)})
    mode = known.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return full
    pads = _auto_pads(node, mode, full)
    return {**full, "pads": pads, "auto_pad": "NOTSET"} if pads is not None else full


def _kernel(node: ir.Node) -> list[int] | None:
    weight = node.inputs[3] if node.op_type == "QLinearConv" else node.inputs[1] if len(node.inputs) > 1 else None
    shape = None if weight is None else static(weight)
    return None if shape is None else list(shape[2:])


def _auto_pads(node: ir.Node, mode: str, full: dict[str, list[int]]) -> list[int] | None:
    n = len(full["kernel_shape"])
    if mode == "VALID":
        return [0] * 2 * n
    shape = dims(node.inputs[0]) if node.inputs[0] is not None else None
    if shape is None or (node.op_type == "ConvTranspose" and "output_shape" in node.attributes):
        return None
    extents = [(k - 1) * d + 1 for k, d in zip(full["kernel_shape"], full["dilations"], strict=True)]
    totals = [_same(node.op_type, *triple) for triple in zip(shape[2:], full["strides"], extents, strict=True)]
    if any(t is None for t in totals):
        return None
    small = [(t or 0) // 2 for t in totals]
    large = [(t or 0) - s for t, s in zip(totals, small, strict=True)]
    return [*small, *large] if mode == "SAME_UPPER" else [*large, *small]


def _same(op_type: str, size: int | str | None, stride: int, extent: int) -> int | None:
    """Return the total padding of one axis; None where it depends on a size that is unknown."""
    if op_type == "ConvTranspose":
        return max(extent - stride, 0)
    if not isinstance(size, int):
        return max(extent - 1, 0) if stride == 1 else None
    return max((-(-size // stride) - 1) * stride + extent - size, 0)
