"""Maps of class to score at the end of a graph, which no tensor is: the scores in front of them take their place.

scikit-learn's converter and Azure Custom Vision end classifiers in ZipMap: a sequence of one map a row. Values keep
their names, and what the maps' keys are, the names of the classes, is kept with the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from onnxsal.errors import UnsupportedError

CLASS_LABELS = "onnxsal.class_labels"
"""Where a model that was read keeps the keys of the maps that its outputs were, by output, in ``meta``."""

ML = "ai.onnx.ml"


def without_maps(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, Mapping[str, tuple[str, ...]]]:
    """Return a checked model whose outputs are tensors where they were maps, and their keys; itself if it has none.

    Raises: UnsupportedError: another value than the output of a ZipMap is a map, such as an input.
    """
    values = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    maps = {v.name for v in values if _is_map(v.type)}
    if not maps:
        return proto, {}
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    keys = {}
    for node in copy.graph.node:
        if node.op_type == "ZipMap" and node.domain == ML and node.output[0] in maps:
            keys[node.output[0]] = class_labels(node)
            _straighten(copy.graph, node, len(keys[node.output[0]]))
    if left := maps - set(keys):
        raise UnsupportedError(_said(sorted(left)[0], proto.graph))
    return copy, keys


def class_labels(node: onnx.NodeProto) -> tuple[str, ...]:
    """Return the names of classes that a node's attributes hold, in their order; numbers as text."""
    for attribute in node.attribute:
        if attribute.name.startswith("classlabels_") or attribute.name == "classlabels":
            return tuple(text.decode("utf-8", "replace") for text in attribute.strings) or tuple(
                map(str, attribute.ints)
            )
    return ()


def _is_map(kind: onnx.TypeProto) -> bool:
    while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
        kind = kind.sequence_type.elem_type if kind.HasField("sequence_type") else kind.optional_type.elem_type
    return bool(kind.HasField("map_type"))


def _straighten(graph: onnx.GraphProto, node: onnx.NodeProto, classes: int) -> None:
    """Turn a ZipMap into what hands its scores on under its name."""
    scores, name = node.input[0], node.output[0]
    node.op_type, node.domain = "Identity", ""
    del node.attribute[:]
    known = next((v for v in (*graph.value_info, *graph.output) if v.name == scores), None)
    for value in (*graph.output, *graph.value_info):
        if value.name == name:
            value.type.CopyFrom(_rows(classes) if known is None else known.type)


def _rows(classes: int) -> onnx.TypeProto:
    rows, columns = onnx.TensorShapeProto.Dimension(), onnx.TensorShapeProto.Dimension(dim_value=classes)
    kind = onnx.TypeProto.Tensor(elem_type=onnx.TensorProto.FLOAT, shape=onnx.TensorShapeProto(dim=[rows, columns]))
    return onnx.TypeProto(tensor_type=kind)


def _said(name: str, graph: onnx.GraphProto) -> str:
    if name in {v.name for v in graph.input}:
        return f"the input {name!r} is a map, not a tensor: export the model so that it takes columns of numbers"
    return f"{name!r} is a map, not a tensor, and no ZipMap makes it: export the model so that it ends in tensors"
