"""The file format (IR version) that a model is labelled with: the lowest that holds what is in it.

Runtimes refuse a format newer than they know before they look at anything else, so a label higher than it has to be
shuts out runtimes that could run the file.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from onnxsal.graph.check import TYPE_ATTRIBUTES

_D = ir.DataType
_SINCE = {
    **dict.fromkeys((_D.FLOAT8E4M3FN, _D.FLOAT8E4M3FNUZ, _D.FLOAT8E5M2, _D.FLOAT8E5M2FNUZ), 9),
    **dict.fromkeys((_D.UINT4, _D.INT4), 10),
    _D.FLOAT4E2M1: 11,
    _D.FLOAT8E8M0: 12,
    **dict.fromkeys((_D.UINT2, _D.INT2), 13),
    **dict.fromkeys((_D.FLOAT6E2M3, _D.FLOAT6E3M2), 14),
}
"""Types by the format that brought them; operators of the runtime's own may have them in any opset."""

_DEVICES = 11
"""The format that says which device a node runs on."""


def lowest_format(model: ir.Model) -> int:
    """Return the lowest IR version that has the opsets and the types of a model.

    Notes on nodes (``metadata_props``, from format 10 on) do not count: readers that do not know them skip them.
    """
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.graph.opset_imports.items()]
    needed: int = onnx.helper.find_min_ir_version_for(opsets, ignore_unknown=True)
    placed = any(node.device_configurations for node in model.graph.all_nodes())
    return max(needed, _DEVICES if placed else 0, *(_SINCE.get(kind, 0) for kind in _types(model)))


def _types(model: ir.Model) -> set[ir.DataType]:
    held = {value.dtype for value in _values(model) if value.dtype is not None}
    return held | {kind for node in model.graph.all_nodes() for kind in _made(node)}


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.inputs
        yield from graph.initializers.values()
    for node in model.graph.all_nodes():
        yield from node.outputs


def _made(node: ir.Node) -> Iterator[ir.DataType]:
    """The types that a node's attributes name: what it makes may not be known yet."""
    for name, attribute in node.attributes.items():
        if name in TYPE_ATTRIBUTES and attribute.type == ir.AttributeType.INT and not attribute.is_ref():
            yield ir.DataType(attribute.as_int())
        if attribute.type == ir.AttributeType.TENSOR and attribute.value is not None:
            yield attribute.value.dtype
