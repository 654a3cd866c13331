"""Files that a runtime wrote for one processor: its own layouts, or code in place of a graph. Named, not rewritten."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph.names import qualified

_LAYOUTS = {
    "com.microsoft.nchwc": "blocks of channels (NCHWc)",
    "com.ms.internal.nhwc": "channels last, as one execution provider takes it",
}
"""Domains of operators that ONNX Runtime lays in for a processor's or a provider's own layout of values."""

_CONTEXT = ("com.microsoft", "EPContext")
"""What stands for a part of the graph that an execution provider compiled."""


def check_processor(model: ir.Model) -> None:
    """Check that a model is a graph for any processor.

    Raises: UnsupportedError: ONNX Runtime saved it as it runs on one processor, or with parts of it compiled.
    """
    for node in model.graph.all_nodes():
        if node.domain in _LAYOUTS:
            raise UnsupportedError(_laid_out(node, model))
        if (node.domain, node.op_type) == _CONTEXT:
            raise UnsupportedError(_compiled(node))


def _laid_out(node: ir.Node, model: ir.Model) -> str:
    count = sum(n.domain == node.domain for n in model.graph.all_nodes())
    return (
        "ONNX Runtime saved this file as it runs on one processor (optimisation level 'all'): "
        f"{count} of its operators, {qualified(node.domain, node.op_type)} {_title(node)} the first, "
        f"hold values in {_LAYOUTS[node.domain]}; name the file that it was made from, "
        "or save it at level 'extended' (ORT_ENABLE_EXTENDED) instead"
    )


def _compiled(node: ir.Node) -> str:
    return (
        f"an execution provider compiled this file (EPContext {_title(node)}): it holds code in place of a graph; "
        "name the file that it was made from"
    )


def _title(node: ir.Node) -> str:
    return repr(node.name or node.outputs[0].name)
