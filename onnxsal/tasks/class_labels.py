"""Names of classes that a graph itself holds: what picks, encodes or keys its answer by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from onnxsal.graph.maps import CLASS_LABELS, ML
from onnxsal.graph.names import node_title
from onnxsal.graph.program import values_by_name
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.outputs import ancestors
from onnxsal.tasks.task import Task

_ATTRIBUTES = ("classlabels_strings", "classlabels_int64s", "classlabels_ints", "values_strings", "classes_strings",
               "cats_strings")  # fmt: skip
"""Attributes of ai.onnx.ml that name classes in the order of their scores, or of what is encoded: 0, 1, 2 ..."""

_PICKED = {("", "Gather"): 0, (ML, "ArrayFeatureExtractor"): 0}
"""What picks names out of a tensor by the best class, and which operand holds them."""


def class_labels(source: ir.Model, task: Task) -> Iterator[Labels]:
    """Yield the names that a file as it was read has for the classes of a task, first those nearest to its output.

    Numbers that are the classes' own indices are no names.
    """
    maps: Mapping[str, Sequence[str]] = source.meta.get(CLASS_LABELS, {})
    for output, names in maps.items():
        if _may_name(names, task) and _is_of(values_by_name(source.graph).get(output), task, source):
            yield Labels(tuple(names), f"the keys of the map {output!r}")
    for node in source.graph:
        names = _held(node)
        if _may_name(names, task) and any(_is_of(value, task, source) for value in node.outputs):
            yield Labels(tuple(names), f"the names that {node_title(node)} holds")


def _may_name(names: Sequence[str], task: Task) -> bool:
    return bool(names) and len(names) in task.name_counts and list(names) != [str(i) for i in range(len(names))]


def _is_of(value: ir.Value | None, task: Task, source: ir.Model) -> bool:
    """Whether a value is made of a task's scores; where they are not in the file as it was read, it may be."""
    if value is None:
        return False
    logit = values_by_name(source.graph).get(task.logit)
    if logit is None:
        return True
    maker = logit.producer()
    return maker is None or maker is value.producer() or maker in ancestors(value)


def _held(node: ir.Node) -> Sequence[str]:
    """Return the names in a node's attributes, or in the tensor that it picks from; none where it has no such."""
    picked = _PICKED.get((node.domain, node.op_type))
    if picked is not None:
        return _strings(node.inputs[picked])
    if node.domain != ML:
        return ()
    keys = node.attributes.get("keys_int64s")
    if keys is not None and list(keys.as_ints()) != list(range(len(keys.as_ints()))):
        return ()  # an encoder of other numbers than classes
    found = next((node.attributes[name] for name in _ATTRIBUTES if name in node.attributes), None)
    if found is None:
        return ()
    return list(found.as_strings()) if found.type == ir.AttributeType.STRINGS else [str(i) for i in found.as_ints()]


def _strings(value: ir.Value | None) -> Sequence[str]:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None or len(tensor.shape) != 1:
        return ()
    if tensor.dtype == ir.DataType.STRING:
        return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in tensor.numpy()]
    return [str(number) for number in tensor.numpy()] if tensor.dtype in (ir.DataType.INT64, ir.DataType.INT32) else ()
