"""How messages name operators and nodes: with the domain, where it is not the standard's."""

from __future__ import annotations

import onnx_ir as ir


def qualified(domain: str, op_type: str) -> str:
    """Return an operator's name: ``Conv``, or ``com.microsoft.QGemm`` where it is not of the standard's domain."""
    return op_type if domain in ("", "ai.onnx") else f"{domain}.{op_type}"


def node_title(node: ir.Node) -> str:
    """Return operator and name of a node, ``Conv 'block/conv'``; one without a name has that of its first output."""
    return f"{qualified(node.domain, node.op_type)} {node.name or node.outputs[0].name!r}"
