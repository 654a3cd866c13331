"""Types and shapes of operators that are ONNX Runtime's own: those of the standard operator on floats."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir
from onnx_ir.serde import serialize_attribute

from onnxsal.graph.fused import fused_kinds
from onnxsal.graph.shapes import Dim

Kind = tuple[ir.DataType, tuple[Dim, ...] | None]
DOMAIN = "com.microsoft"

_LIKE: dict[str, tuple[str, slice]] = {
    "QLinearAdd": ("Add", slice(0, 4, 3)), "QLinearMul": ("Mul", slice(0, 4, 3)), "QGemm": ("Gemm", slice(0, 4, 3)),
    "QLinearConv": ("Conv", slice(0, 4, 3)), "QLinearSigmoid": ("Sigmoid", slice(0, 1)),
    "QLinearLeakyRelu": ("LeakyRelu", slice(0, 1)), "QLinearSoftmax": ("Softmax", slice(0, 1)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", slice(0, 1)),
    "QLinearAveragePool": ("AveragePool", slice(0, 1)), "QLinearConcat": ("Concat", slice(2, None, 3)),
    "QLinearWhere": ("Where", slice(1, 5, 3)), "MatMulIntegerToFloat": ("MatMul", slice(0, 2)),
    "DynamicQuantizeMatMul": ("MatMul", slice(0, 2)), "FusedConv": ("Conv", slice(0, 2)),
    "FusedGemm": ("Gemm", slice(0, 2)),
}  # fmt: skip
"""Of which operator each has the shape, and which of its inputs are the operands."""

_FLOAT = frozenset({"MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QAttention"})


def kind_of(node: ir.Node, kinds: Sequence[Kind | None], opset: int) -> tuple[Kind | None, ...]:
    """Return the kinds of the outputs of one of the runtime's own operators; nothing for any other operator."""
    if found := fused_kinds(node, kinds):
        return found
    if node.domain == DOMAIN and node.op_type == "MatMulNBits" and kinds[0] is not None and kinds[0][1] is not None:
        return ((kinds[0][0], (*kinds[0][1][:-1], node.attributes["N"].as_int())),)
    if node.domain == DOMAIN and node.op_type == "DynamicQuantizeLSTM":
        return _lstm(node, kinds[0])
    if node.domain != DOMAIN or node.op_type not in _LIKE:
        return ()
    name, which = _LIKE[node.op_type]
    data = [*kinds[which]]
    if any(k is None or k[1] is None for k in data):
        return ()
    number = (kinds[which.start or 0] or data[0] or (ir.DataType.UINT8, None))[0]
    as_float = node.op_type in _FLOAT or (node.op_type == "QGemm" and len(kinds) < 8)
    turned = node.attributes.get("channels_last")
    if turned is not None and turned.as_int():
        return ((number, (None,) * len((data[0] or (None, ()))[1] or ())),)
    shape = _shape(node, name, [k[1] or () for k in data if k is not None], opset)
    return () if shape is None else ((ir.DataType.FLOAT if as_float else number, shape),)


def _lstm(node: ir.Node, x: Kind | None) -> tuple[Kind, ...]:
    """Y, Y_h and Y_c of input [time, batch, features]."""
    way, hidden = node.attributes.get("direction"), node.attributes.get("hidden_size")
    if x is None or x[1] is None or len(x[1]) != 3 or hidden is None:
        return ()
    directions = 2 if way is not None and way.as_string() == "bidirectional" else 1
    last = (x[0], (directions, x[1][1], hidden.as_int()))
    return (x[0], (x[1][0], *last[1])), last, last


def _shape(node: ir.Node, name: str, shapes: Sequence[Sequence[Dim]], opset: int) -> tuple[Dim, ...] | None:
    schema = onnx.defs.get_schema(name, opset)
    names = [f"i{i}" for i in range(len(shapes))]
    if name == "Where":
        names, shapes = ["c", *names], [(), *shapes]
    proto = onnx.NodeProto(op_type=name, input=names, output=["o"])
    proto.attribute.extend(serialize_attribute(a) for k, a in node.attributes.items() if k in schema.attributes)
    types = {n: onnx.helper.make_tensor_type_proto(9 if n == "c" else 1, s) for n, s in zip(names, shapes, strict=True)}
    try:
        found = onnx.shape_inference.infer_node_outputs(
            schema, proto, types, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=11
        )
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return None
    tensor = found["o"].tensor_type if "o" in found else None
    return tuple(d.dim_value or d.dim_param or None for d in tensor.shape.dim) if tensor is not None else None
