"""Sparse weights written out: onnx_ir leaves them away, and runtimes make dense ones of them when they load."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph.external import bound


def densified(proto: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return a checked model with dense weights in place of sparse ones; the message itself where it has none.

    Args: folder: where weights outside the file lie.
    Raises: ValueError: an index lies outside the tensor's shape, or there are not as many as values.
    """
    if not any(_is_sparse(graph) for graph in _graphs(proto)):
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for graph in _graphs(copy):
        if isinstance(graph, onnx.GraphProto):
            graph.initializer.extend(_dense(sparse, folder) for sparse in graph.sparse_initializer)
            del graph.sparse_initializer[:]
        for attribute in _sparse_constants(graph):
            dense = onnx.helper.make_attribute("value", _dense(attribute.sparse_tensor, folder))
            attribute.CopyFrom(dense)
    return copy


Nodes = onnx.GraphProto | onnx.FunctionProto


def _graphs(proto: onnx.ModelProto) -> list[Nodes]:
    found: list[Nodes] = [proto.graph, *proto.functions]
    for each in found:
        attributes = (attribute for node in each.node for attribute in node.attribute)
        found += [g for a in attributes for g in (*([a.g] if a.HasField("g") else []), *a.graphs)]
    return found


def _is_sparse(graph: Nodes) -> bool:
    held = isinstance(graph, onnx.GraphProto) and len(graph.sparse_initializer) > 0
    return held or any(True for _ in _sparse_constants(graph))


def _sparse_constants(graph: Nodes) -> Iterable[onnx.AttributeProto]:
    constants = (node for node in graph.node if node.op_type == "Constant" and node.domain in ("", "ai.onnx"))
    return (a for node in constants for a in node.attribute if a.HasField("sparse_tensor"))


def _dense(sparse: onnx.SparseTensorProto, folder: Path) -> onnx.TensorProto:
    shape = tuple(sparse.dims)
    values, where = _numbers(sparse.values, folder), _numbers(sparse.indices, folder)
    if where.shape not in ((len(values),), (len(values), len(shape))) or (where < 0).any():
        raise ValueError(f"sparse weight {sparse.values.name!r} has {len(values)} values at {where.shape} places")
    flat = where if where.ndim == 1 else np.ravel_multi_index(tuple(where.T), shape)
    dense = np.zeros(shape, values.dtype)
    dense.reshape(-1)[flat] = values
    kind = ir.DataType(sparse.values.data_type)
    return ir.to_proto(ir.Tensor(dense, dtype=kind, name=sparse.values.name))


def _numbers(proto: onnx.TensorProto, folder: Path) -> NDArray[Any]:
    tensor: ir.TensorProtocol = ir.serde.deserialize_tensor(proto)
    return (bound(tensor, folder) if isinstance(tensor, ir.ExternalTensor) else tensor).numpy()
