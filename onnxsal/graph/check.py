"""Whether a file that parses is a model: every way in which it is not is one message, before anything builds on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import onnx
import onnx.version_converter
import onnx_ir as ir

from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph.names import qualified

_BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, RuntimeError, OverflowError,
           MemoryError, NotImplementedError, onnx.shape_inference.InferenceError, onnx.checker.ValidationError,
           onnx.defs.SchemaError, onnx.version_converter.ConvertError)  # fmt: skip
"""What onnx and onnx_ir raise over damaged models; they have no base of their own."""

_TYPED = {
    "float_data": {1, 14}, "double_data": {11, 15}, "int64_data": {7}, "uint64_data": {12, 13},
    "int32_data": {2, 3, 4, 5, 6, 9, 10, 16},
}  # fmt: skip
"""The field that holds a tensor's numbers where they are not raw bytes, one entry a number (two for complex ones)."""


TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")
"""Attributes that say of which type of tensors an operator's output is."""

_LARGEST_VERSION = 2**31 - 1
"""Of an operator set: the format has 64 bits for it, and onnx's own tables 32."""


@contextmanager
def model_errors(what: str) -> Iterator[None]:
    """Turn what onnx and onnx_ir raise over a damaged model inside the block into one ModelError."""
    try:
        yield
    except _BROKEN as error:
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        lines = (str(root).strip() or type(root).__name__).splitlines()
        raise ModelError(f"{what}: {lines[0][:300]}") from error


def check_proto(proto: onnx.ModelProto, name: str) -> None:
    """Check that a model is whole: versions known, names given and unique, every value computed, every weight there.

    Raises: ModelError: it is damaged. UnsupportedError: it is newer than the onnx package.
    """
    if not proto.HasField("graph") or not (proto.graph.node and proto.graph.output):
        raise ModelError(f"{name!r} is not an ONNX model: it holds no graph")
    _check_versions(proto, name)
    _check_strings((text for entry in proto.metadata_props for text in (entry.key, entry.value)), name)
    _check_strings((e.domain for part in (proto, *proto.functions) for e in part.opset_import), name)
    _check_strings((s for f in proto.functions for s in (f.name, f.domain, *f.input, *f.output)), name)
    untyped = [v.name for v in proto.graph.input if v.type.HasField("tensor_type") and not v.type.tensor_type.elem_type]
    if untyped:
        raise ModelError(f"{name!r} is damaged: its input {untyped[0]!r} is a tensor of no type")
    opsets = {"" if e.domain == "ai.onnx" else e.domain: e.version for e in proto.opset_import}
    _check_scope(proto.graph, set(), name, opsets)
    _check_references(proto.graph, name)
    for function in proto.functions:
        own = {"" if e.domain == "ai.onnx" else e.domain: e.version for e in function.opset_import}
        _check_nodes(function.node, {*function.input, ""}, name, opsets | own)


def _check_versions(proto: onnx.ModelProto, name: str) -> None:
    if not proto.opset_import:
        raise ModelError(f"{name!r} is damaged: it names no operator set")
    strange = [e for part in (proto, *proto.functions) for e in part.opset_import if abs(e.version) > _LARGEST_VERSION]
    if strange:
        which = strange[0]
        raise ModelError(
            f"{name!r} is damaged: no operator set {which.domain or 'ai.onnx'!r} is of version {which.version}"
        )
    newest = onnx.defs.onnx_opset_version()
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    if opset > newest or proto.ir_version > onnx.IR_VERSION:
        raise UnsupportedError(
            f"{name!r} is in opset {opset}, file format {proto.ir_version}; the installed onnx {onnx.__version__} "
            f"knows {newest} and {onnx.IR_VERSION}: update it, or export the model to an older opset"
        )


def _check_scope(graph: onnx.GraphProto, outer: set[str], name: str, opsets: Mapping[str, int]) -> None:
    own = [v.name for v in graph.input]
    weights = [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
    values = (*graph.input, *graph.output, *graph.value_info)
    sizes = [d.dim_param for v in values for d in v.type.tensor_type.shape.dim]
    _check_strings((*weights, *(v.name for v in values), *sizes), name)
    _check_unique(own, name, "inputs are")
    _check_unique(weights, name, "weights are")
    known = outer | {*own, *weights, ""}
    for tensor in graph.initializer:
        check_tensor(tensor, name)
    made = _check_nodes(graph.node, known, name, opsets)
    lost = [v.name for v in graph.output if v.name not in made or not v.name]
    if lost:
        raise ModelError(f"{name!r} is damaged: nothing computes its output {lost[0]!r}")


def _check_unique(names: Iterable[str], name: str, what: str) -> None:
    seen: set[str] = set()
    for each in names:
        if each in seen or not each:
            raise ModelError(f"{name!r} is not valid: two {what} called {each!r}")
        seen.add(each)


def _check_nodes(nodes: Sequence[onnx.NodeProto], known: set[str], name: str, opsets: Mapping[str, int]) -> set[str]:
    """Check that nodes are of some operator and read what is there, in whatever order; return all that is known."""
    outputs = [output for node in nodes for output in node.output if output]
    _check_strings(outputs, name)
    _check_strings((s for node in nodes for s in (*node.input, node.op_type, node.name, node.domain)), name)
    _check_strings((s for node in nodes for a in node.attribute for s in (a.name, a.ref_attr_name)), name)
    _check_unique(outputs, name, "nodes compute a value")
    known = known | set(outputs)
    for node in nodes:
        lost = [value for value in node.input if value not in known]
        if lost:
            raise ModelError(f"{name!r} is damaged: nothing computes {lost[0]!r}, read by {_label(node)}")
        if not node.op_type or not node.output:
            raise ModelError(f"{name!r} is damaged: {_label(node)} has no operator or no output")
        _check_signature(node, name, opsets)
        for attribute in node.attribute:
            _check_attribute(attribute, known, name, opsets)
    return known


def _label(node: onnx.NodeProto) -> str:
    operator = qualified(node.domain, node.op_type) if node.op_type else "a node"
    return f"{operator} {node.name or next(iter(node.output), '')!r}"


@dataclass(frozen=True)
class _Signature:
    """What an operator's schema asks of every node."""

    inputs: int
    optional: frozenset[int]
    attributes: Mapping[str, int]
    required: frozenset[str]
    most: tuple[int, int]
    """How many inputs and outputs there can be; those that are left out count where others follow, and at the end."""


@lru_cache(maxsize=1024)
def _signature(op_type: str, domain: str, opset: int) -> _Signature | None:
    if not onnx.defs.has(op_type, opset, domain):
        return None
    schema = onnx.defs.get_schema(op_type, opset, domain)
    attributes = {name: _number(attribute.type) for name, attribute in schema.attributes.items()}
    required = frozenset(name for name, attribute in schema.attributes.items() if attribute.required)
    option = onnx.defs.OpSchema.FormalParameterOption.Optional
    optional = frozenset(i for i, formal in enumerate(schema.inputs) if formal.option == option)
    return _Signature(schema.min_input, optional, attributes, required, (schema.max_input, schema.max_output))


def _number(kind: Any) -> int:
    """An attribute type as protobuf numbers it; onnx's stubs leave out that it is an enumeration."""
    number: int = kind.value
    return number


def _check_signature(node: onnx.NodeProto, name: str, opsets: Mapping[str, int]) -> None:
    domain = "" if node.domain == "ai.onnx" else node.domain
    signature = _signature(node.op_type, domain, opsets[domain]) if domain in opsets else None
    if signature is None:
        return
    needed = [i for i in range(signature.inputs) if i not in signature.optional]
    if len(node.input) < signature.inputs or not all(node.input[i] for i in needed):
        raise ModelError(f"{name!r} is damaged: {_label(node)} has too few inputs, {signature.inputs} are needed")
    for what, there, most in zip(("inputs", "outputs"), (node.input, node.output), signature.most, strict=True):
        if len(there) > most:
            raise ModelError(
                f"{name!r} is damaged: {_label(node)} has {len(there)} {what}, and {most} at most is right"
            )
    given = {attribute.name: attribute for attribute in node.attribute}
    if lost := sorted(signature.required - set(given)):
        raise ModelError(f"{name!r} is damaged: {_label(node)} has no attribute {lost[0]!r}")
    if node.op_type == "Constant" and not domain and len(node.attribute) != 1:  # no schema says "one of these"
        found = ", ".join(attribute.name for attribute in node.attribute) or "none"
        raise ModelError(f"{name!r} is damaged: {_label(node)} needs one value; got {found}")
    for key, attribute in given.items():
        if attribute.type != signature.attributes.get(key, attribute.type):
            raise ModelError(f"{name!r} is damaged: attribute {key!r} of {_label(node)} is of the wrong type")
        if key in TYPE_ATTRIBUTES and attribute.i and attribute.i not in onnx.TensorProto.DataType.values():
            raise ModelError(f"{name!r} is damaged: {key!r} of {_label(node)} is no type of tensors: {attribute.i}")
    order = given.get("perm") if node.op_type == "Transpose" and not domain else None
    if order is not None and sorted(order.ints) != list(range(len(order.ints))):  # behind, it is turned round
        raise ModelError(f"{name!r} is damaged: the perm of {_label(node)} is no order of axes: {list(order.ints)}")


def _check_attribute(attribute: onnx.AttributeProto, known: set[str], name: str, opsets: Mapping[str, int]) -> None:
    if not isinstance(attribute.name, str) or not (attribute.type or attribute.ref_attr_name):
        raise ModelError(f"{name!r} is damaged: attribute {attribute.name!r} has no type")
    if attribute.HasField("t"):
        check_tensor(attribute.t, name)
    for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
        _check_scope(graph, known, name, opsets)


def _check_references(graph: onnx.GraphProto, name: str) -> None:
    """What a function is given is read in its own nodes alone."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                raise ModelError(
                    f"{name!r} is damaged: attribute {attribute.name!r} of {_label(node)} is that of a function, "
                    f"{attribute.ref_attr_name!r}, and the node is in none"
                )
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _check_references(body, name)


def _check_strings(texts: Iterable[object], name: str) -> None:
    """protobuf hands out bytes where a text is not one."""
    if any(not isinstance(text, str) for text in texts):
        raise ModelError(f"{name!r} is damaged: names in it are not text")


def check_tensor(tensor: onnx.TensorProto, name: str) -> None:
    """Check that a weight has a known type and as many numbers as its shape says; external ones by their file."""
    if tensor.data_type not in onnx.TensorProto.DataType.values() or tensor.data_type == 0:
        raise ModelError(f"{name!r} is damaged: weight {tensor.name!r} is of unknown type {tensor.data_type}")
    if any(d < 0 for d in tensor.dims):
        raise ModelError(f"{name!r} is damaged: weight {tensor.name!r} has shape {list(tensor.dims)}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.data_type == onnx.TensorProto.STRING:
        return
    held, expected = _held(tensor)
    if held != expected:
        raise ModelError(f"{name!r} is damaged: weight {tensor.name!r} holds {held}, its shape says {expected}")


def _held(tensor: onnx.TensorProto) -> tuple[str, str]:
    """Return how much a tensor holds and how much it should, in bytes or numbers."""
    if tensor.HasField("raw_data"):
        return f"{len(tensor.raw_data)} bytes", f"{tensor_bytes(tensor)} bytes"
    size = math.prod(tensor.dims)
    field = next((f for f, types in _TYPED.items() if tensor.data_type in types), None)
    if field is None:
        return "", ""
    each = 2 if tensor.data_type in (14, 15) else 1
    return f"{len(getattr(tensor, field)) // each} numbers", f"{size} numbers"


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Return how many bytes a tensor's shape and type ask for; of texts how many they have."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return sum(map(len, tensor.string_data))
    bits: int = math.prod(tensor.dims) * ir.DataType(tensor.data_type).bitwidth
    return -(-bits // 8)
