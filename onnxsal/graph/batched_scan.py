"""Scan as opset 8 had it, every operand with the batch in front: a Scan over the batch, of one of today's."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph.shapes import dims


def wrap_scans(graph: ir.Graph) -> None:
    """Write the Scans of a model that came from opset 8 as today's, in place.

    Raises: UnsupportedError: one is given the lengths of its sequences.
    """
    for node in [n for n in graph.all_nodes() if n.op_type == "Scan" and not n.domain]:
        if node.inputs[0] is not None:
            raise UnsupportedError(
                f"Scan {node.name or node.outputs[0].name!r} of opset 8 is given sequence lengths, which no later "
                "opset has: export the model with opset 9 or newer"
            )
        _wrap(node, [v for v in node.inputs[1:] if v is not None])


def _wrap(node: ir.Node, outer: list[ir.Value]) -> None:
    stem = f"sal/scan/{node.outputs[0].name}"
    read = node.attributes["num_scan_inputs"].as_int()
    ways = node.attributes.pop("directions", None)
    given = [
        ir.AttrInt64("num_scan_inputs", read),
        ir.Attr("body", ir.AttributeType.GRAPH, node.attributes["body"].as_graph()),
    ]
    if ways is not None:
        given.append(ir.AttrInt64s("scan_input_directions", list(ways.as_ints())))
    inputs = [_one(f"{stem}/{i}", v) for i, v in enumerate(outer)]
    inner = ir.Node("", "Scan", inputs, given, num_outputs=len(node.outputs), name=f"{stem}/each")
    for i, value in enumerate(inner.outputs):
        value.name = f"{stem}/out/{i}"
    imports = dict(node.graph.opset_imports) if node.graph is not None else {}
    body = ir.Graph(inputs, list(inner.outputs), nodes=[inner], opset_imports=imports, name=stem)
    node.resize_inputs(len(outer))
    for i, value in enumerate(outer):
        node.replace_input_with(i, value)
    node.attributes["body"] = ir.Attr("body", ir.AttributeType.GRAPH, body)
    node.attributes["num_scan_inputs"] = ir.AttrInt64("num_scan_inputs", len(outer))


def _one(name: str, value: ir.Value) -> ir.Value:
    """Return what a turn sees of a batch: one image."""
    shape = dims(value)
    return ir.Value(name=name, type=value.type, shape=None if shape is None else ir.Shape(shape[1:]))
