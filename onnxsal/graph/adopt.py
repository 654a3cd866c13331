"""Operators that ONNX Runtime had before the standard did, written as the standard has them now.

QuantizeLinear and DequantizeLinear of ``com.microsoft`` (quantisers write them for 16 and 4 bits in front of opset 21)
have the inputs, attributes and kernels of the standard's.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.graph.opset import TARGET

MICROSOFT = "com.microsoft"
_QUANTISERS = frozenset({"QuantizeLinear", "DequantizeLinear"})


def adopt_quantisers(model: ir.Model) -> None:
    """Move the runtime's own quantisers to the standard's domain, in place; a model below opset 21 stays as it is."""
    if model.graph.opset_imports.get("", 0) < TARGET:
        return
    nodes = list(model.graph.all_nodes())
    adopted = [n for n in nodes if n.domain == MICROSOFT and n.op_type in _QUANTISERS]
    for node in adopted:
        node.domain = ""
    if adopted and not any(n.domain == MICROSOFT for n in nodes):
        model.graph.opset_imports.pop(MICROSOFT, None)
