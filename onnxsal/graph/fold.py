"""Folding what does not depend on the picture: shape arithmetic and other small constant parts of a graph."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from onnxsal.graph.shapes import dims, static
from onnxsal.graph.tape import size_of

LIMIT = 1 << 16
"""Results above this many elements stay nodes: ONNX Runtime folds them when it loads, and the file stays small."""

_KEEP = frozenset({"QuantizeLinear", "DequantizeLinear", "RandomNormal", "RandomUniform", "RandomNormalLike",
                   "RandomUniformLike", "Bernoulli", "Multinomial", "If", "Loop", "Scan", "Constant"})  # fmt: skip


def fold_constants(graph: ir.Graph, keep: frozenset[str] = frozenset()) -> int:
    """Replace nodes that compute small constants by initializers, in place; return how many nodes went."""
    folded = 0
    for node in list(graph):
        if any(v is not None and v.name in keep for v in (*node.inputs, *node.outputs)):
            continue
        arrays = _constant_outputs(node)
        if arrays is None:
            continue
        for value, array in zip(node.outputs, arrays, strict=True):
            _replace(graph, value, array)
        graph.remove(node, safe=True)
        folded += 1
    return folded


def _replace(graph: ir.Graph, value: ir.Value, array: np.ndarray) -> None:
    constant = ir.Value(name=f"sal/fold/{value.name}", shape=ir.Shape(array.shape), const_value=ir.tensor(array))
    constant.type = ir.TensorType(constant.const_value.dtype)  # type: ignore[union-attr]
    graph.register_initializer(constant)
    value.replace_all_uses_with(constant)


def _constant_outputs(node: ir.Node) -> list[np.ndarray] | None:
    if node.domain or node.op_type in _KEEP or any(v.is_graph_output() for v in node.outputs):
        return None
    if node.op_type in ("Shape", "Size"):
        return _shape_output(node)
    if node.op_type == "Gather" and (picked := _gathered_dim(node)) is not None:
        return [picked]
    if not all(v is None or v.const_value is not None for v in node.inputs) or not node.inputs:
        return None
    sizes = [static(v) for v in node.outputs]
    if any(s is None or size_of(s) > LIMIT for s in sizes):
        return None
    if sum(v.const_value.size for v in node.inputs if v is not None and v.const_value is not None) > 4 * LIMIT:
        return None
    return _evaluate(node)


def _shape_output(node: ir.Node) -> list[np.ndarray] | None:
    source = node.inputs[0]
    shape = None if source is None else static(source)
    if shape is None:
        return None
    if node.op_type == "Size":
        return [np.array(size_of(shape), np.int64)]
    start, end = node.attributes.get("start"), node.attributes.get("end")
    return [np.array(shape[(start.as_int() if start else 0) : (end.as_int() if end else None)], np.int64)]


def _gathered_dim(node: ir.Node) -> np.ndarray | None:
    """One known dimension picked out of a shape whose others (the batch) may be unknown."""
    source, index = node.inputs[0], node.inputs[1]
    shape = None if source is None else source.producer()
    if shape is None or shape.op_type != "Shape" or not _whole(shape):
        return None
    known = dims(shape.inputs[0]) if shape.inputs[0] is not None else None
    if known is None or index is None or index.const_value is None:
        return None
    where = index.const_value.numpy()
    picked = [known[i] for i in where.reshape(-1).tolist() if -len(known) <= i < len(known)]
    if len(picked) != where.size or not all(isinstance(d, int) for d in picked):
        return None
    return np.array(picked, np.int64).reshape(where.shape)


def _whole(node: ir.Node) -> bool:
    start = node.attributes.get("start")
    return "end" not in node.attributes and (start is None or start.as_int() == 0)


def _evaluate(node: ir.Node) -> list[np.ndarray] | None:
    """Run one node on onnx's reference evaluator; None where that cannot run it."""
    names = {v.name: v.const_value.numpy() for v in node.inputs if v is not None and v.const_value is not None}
    if any(a.dtype.kind == "V" or a.dtype.name not in np.sctypeDict for a in names.values()):
        return None
    opset = node.version or (node.graph.opset_imports.get("", 21) if node.graph else 21)
    inputs = [onnx.helper.make_tensor_value_info(str(n), onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
              for n, a in names.items()]  # fmt: skip
    outputs = [onnx.ValueInfoProto(name=v.name or "") for v in node.outputs]
    graph = onnx.helper.make_graph([ir.to_proto(node)], "fold", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            results = ReferenceEvaluator(model).run(None, names)
    except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError, KeyError, AttributeError):
        return None
    arrays = [np.asarray(r) for r in results]
    return arrays if all(a.dtype.kind in "biuf" for a in arrays) else None
