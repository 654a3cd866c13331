"""The report on a file that is not explained: its facts, what it takes and gives, why, and what works all the same."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import onnx_ir as ir

from onnxsal.autodiff import standardised
from onnxsal.autodiff.registry import find
from onnxsal.errors import OnnxsalError, UnsupportedError
from onnxsal.graph import dims
from onnxsal.graph.external import all_nodes
from onnxsal.graph.initializers import constant_of
from onnxsal.graph.shapes import is_float
from onnxsal.model.roles import is_read

_SHOWN = 3


def inspect_file(source: ir.Model, name: str, why: str) -> dict[str, Any]:
    """Return what is known of a file as plain data, where no model can be made of it.

    ``why`` says what stands in the way, ``works`` are command lines that serve it all the same.
    """
    return {
        **file_facts(source), "file": name, "why": why,
        "inputs": described(source.graph.inputs), "outputs": described(source.graph.outputs),
        "operators": operator_counts(source.graph), "works": gradients_of_file(source, name),
    }  # fmt: skip


def with_gradients(error: UnsupportedError, source: ir.Model, name: str) -> UnsupportedError:
    """Return a refusal of a file with the command that serves it all the same, where there is one."""
    works = [] if _has_strangers(source) else gradients_of_file(source, name)
    return UnsupportedError(f"{error}; its gradients can be written: {works[0]}") if works else error


def _has_strangers(source: ir.Model) -> bool:
    """Whether a file has operators outside the standard that no gradient passes."""
    return any(node.domain not in ("", "ai.onnx") and find(node) is None for node in source.graph)


def file_facts(source: ir.Model) -> dict[str, Any]:
    """Return the size of a file, and who made it."""
    graph = source.graph
    tensors = _tensors(source)
    return {
        "opset": graph.opset_imports.get("", 0),
        "domains": {domain: version for domain, version in graph.opset_imports.items() if domain},
        "producer": f"{source.producer_name or ''} {source.producer_version or ''}".strip().removesuffix(" None"),
        "parameters": sum(t.size for t in tensors), "weight_bytes": sum(t.nbytes for t in tensors),
        "nodes": len(graph),
    }  # fmt: skip


def _tensors(source: ir.Model) -> list[ir.TensorProtocol]:
    """What a file holds: initializers, and Constant nodes, where some exporters keep every weight."""
    held = [v.const_value for graph in source.graphs() for v in graph.initializers.values()]
    nodes = (n for n in all_nodes(source) if n.op_type == "Constant" and n.domain in ("", "ai.onnx"))
    return [tensor for tensor in (*held, *map(constant_of, nodes)) if tensor is not None]


def described(values: Sequence[ir.Value]) -> list[dict[str, Any]]:
    """Return name, type and shape of inputs or outputs."""
    return [{"name": v.name, "type": type_of(v), "shape": _shape(v)} for v in values]


def type_of(value: ir.Value) -> str:
    """Return what a value holds, in one word: an element's type, or ``sequence``, ``optional``, ``map``."""
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        return type(value.type).__name__.removesuffix("Type").lower()
    return "unknown" if value.dtype is None else value.dtype.name.lower()


def operator_counts(graph: ir.Graph) -> dict[str, int]:
    """Return how often each operator occurs, the most frequent first."""
    return dict(Counter(operator_name(node) for node in graph).most_common())


def operator_name(node: ir.Node) -> str:
    """Return an operator's name, with its domain where that is not the standard one."""
    return f"{node.domain}:{node.op_type}" if node.domain else node.op_type


def _shape(value: ir.Value) -> list[int | str | None] | None:
    shape = dims(value)
    return None if shape is None else list(shape)


def gradients_of_file(source: ir.Model, name: str) -> list[str]:
    """Return the commands that write gradients of a file's float outputs by the floats that it takes or first makes."""
    graph = _typed(source)
    own = {str(v.name) for node in source.graph for v in node.outputs}
    outputs = [v for v in graph.outputs if _is_float(v) and v.name in own]
    by = [v for v in graph.inputs if _is_float(v) and v.uses()] or _first_floats(graph, own)
    if not outputs or not by:
        return []
    wrt = " ".join(f"--wrt {shlex.quote(str(v.name))}" for v in by[:_SHOWN])
    return [
        f"onnxsal gradient {shlex.quote(name)} --of {shlex.quote(str(v.name))} {wrt} -o gradient.onnx"
        for v in outputs[:_SHOWN]
        if v not in by
    ]


def _typed(source: ir.Model) -> ir.Graph:
    """Return a graph whose values have types, as far as they can be told."""
    try:
        return standardised(source).graph
    except OnnxsalError:
        return source.graph


def _first_floats(graph: ir.Graph, own: Collection[str]) -> list[ir.Value]:
    """Return the first float value that is made of the inputs: rows of an embedding, numbers of bytes."""
    reached: set[ir.Value | None] = set(graph.inputs)
    for node in graph:
        if any(v in reached for v in node.inputs):
            if found := [v for v in node.outputs if _is_float(v) and v.name in own and is_read(v)]:
                return found[:1]
            reached.update(node.outputs)
    return []


def _is_float(value: ir.Value) -> bool:
    tensor = value.type is None or isinstance(value.type, ir.TensorType)
    return tensor and is_float(value)


__all__ = [
    "described",
    "file_facts",
    "gradients_of_file",
    "inspect_file",
    "operator_counts",
    "operator_name",
    "type_of",
]
