"""Weights that lie in files beside the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from onnxsal.errors import ModelError
from onnxsal.graph.check import tensor_bytes


def check_external(proto: onnx.ModelProto, name: str, folder: Path) -> None:
    """Check that every weight outside the file is inside the model's folder, and all there.

    Raises: ModelError: a file is missing, too short, or outside the folder.
    """
    sizes: dict[str, int] = {}
    for tensor in _tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            location = entries.get("location", "")
            if location not in sizes:
                sizes[location] = _size(tensor, location, name, folder)
            _check_extent(tensor, entries, sizes[location], name)


def external_files(proto: onnx.ModelProto, folder: Path) -> list[Path]:
    """Return the files beside a checked model that hold weights of it, each once, in order of their names in it."""
    found = (real_path(folder, location) for location in _locations(proto))
    return [file for file in found if file is not None]


def folder_of(proto: onnx.ModelProto, *folders: Path) -> Path:
    """Return the first of the folders that holds every file that weights of a message lie in.

    Raises: ModelError: none does.
    """
    locations = _locations(proto)
    for folder in folders:
        if all((file := real_path(folder, location)) is not None and file.is_file() for location in locations):
            return folder
    tried = " nor in ".join(repr(str(folder.resolve())) for folder in dict.fromkeys(f.resolve() for f in folders))
    raise ModelError(
        f"the model keeps weights in {', '.join(map(repr, locations))}, which is not in {tried}. A ModelProto does not "
        "know the folder that it was read from: save it there, make that the current folder, or name the model by its "
        "path (or load it) instead"
    )


def _locations(proto: onnx.ModelProto) -> list[str]:
    return sorted({e.value for t in _tensors(proto) for e in t.external_data if e.key == "location"})


def rename_locations(proto: onnx.ModelProto, location: str) -> None:
    """Let every weight outside a message lie in one file, in place."""
    for entry in (entry for tensor in _tensors(proto) for entry in tensor.external_data):
        if entry.key == "location":
            entry.value = location


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _of_graph(proto.graph)
    for function in proto.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from _of_graph(graph)
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)


def _size(tensor: onnx.TensorProto, location: str, name: str, folder: Path) -> int:
    weight = f"{name!r} keeps weight {tensor.name!r}"
    real = real_path(folder, location)
    if real is None:
        raise ModelError(f"{weight} at {location!r}, outside the model's folder; this is refused")
    if not real.is_file():
        raise ModelError(f"{weight} in {location!r}, which is missing; copy it beside the model")
    return real.stat().st_size


def real_path(folder: Path, location: str) -> Path | None:
    """Return the file of a location inside a model's folder, or None where it is outside.

    Links may lead to the blobs of the Hugging Face cache, whose snapshot folders hold nothing else, and nowhere else.
    """
    root = folder.resolve()
    if (
        not location
        or "\0" in location
        or not Path(root, location).is_relative_to(root)
        or ".." in Path(location).parts
    ):
        return None
    real = Path(root, location).resolve()
    cache = root.parent.parent / "blobs" if root.parent.name == "snapshots" else root
    return real if real.is_relative_to(root) or real.is_relative_to(cache) else None


def _check_extent(tensor: onnx.TensorProto, entries: dict[str, str], size: int, name: str) -> None:
    expected = tensor_bytes(tensor)
    numbers = [entries.get("offset") or "0", entries.get("length") or str(expected)]
    if not all(number.isdigit() for number in numbers):
        raise ModelError(f"{name!r} is damaged: weight {tensor.name!r} lies at {' + '.join(numbers)}")
    offset, length = map(int, numbers)
    if length != expected:
        raise ModelError(f"{name!r} is damaged: weight {tensor.name!r} has {length} bytes outside, expected {expected}")
    if offset + length > size:
        raise ModelError(
            f"{name!r} keeps weight {tensor.name!r} at bytes {offset} to {offset + length} of "
            f"{entries.get('location')!r}, which has {size}: the file is cut short, copy it again"
        )


def bind_external(model: ir.Model, folder: Path) -> None:
    """Tell external tensors which folder they lie in; linked ones, which onnx_ir refuses, their real files.

    Those in attributes, which nothing writes out again, are read.
    """
    for value in external_values(model):
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = bound(value.const_value, folder)
    for node in all_nodes(model):
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and isinstance(attribute.value, ir.ExternalTensor):
                held = in_memory(bound(attribute.value, folder))
                node.attributes[name] = ir.AttrTensor(name, held, doc_string=attribute.doc_string)


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Yield every node of a model, those in bodies and functions too."""
    yield from model.graph.all_nodes()
    for function in model.functions.values():
        yield from function.all_nodes()


def external_values(model: ir.Model) -> list[ir.Value]:
    """Return the initializers whose numbers lie in files, those in the bodies of If, Loop and Scan too."""
    return _outside(model.graphs())


def _outside(graphs: Iterable[ir.Graph]) -> list[ir.Value]:
    held = (value for graph in graphs for value in graph.initializers.values())
    return [value for value in held if isinstance(value.const_value, ir.ExternalTensor)]


Place = tuple[str, int | None, int | None]
"""The name of a file, where in it a tensor begins, and how long it is."""


def places(graphs: Iterable[ir.Graph]) -> dict[Place, ir.ExternalTensor]:
    """Return the weights in files by where they lie: that goes into a message, the folder of the files does not."""
    tensors = (value.const_value for value in _outside(graphs))
    return {_place(tensor): tensor for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}


def put_back(model: ir.Model, known: Mapping[Place, ir.ExternalTensor]) -> ir.Model:
    """Return a model that was made of a message, its weights in files those that ``places`` found before."""
    for value in external_values(model):
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = known[_place(value.const_value)]
    return model


def _place(tensor: ir.ExternalTensor) -> Place:
    return str(tensor.location), tensor.offset, tensor.length


def bring_in(values: Iterable[ir.Value]) -> None:
    """Read the numbers of initializers that lie in files, in place."""
    for value in values:
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = in_memory(value.const_value)


def in_memory(tensor: ir.ExternalTensor) -> ir.Tensor[Any]:
    """Return a tensor that lies in a file as an array."""
    return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name, doc_string=tensor.doc_string)


def bound(tensor: ir.ExternalTensor, folder: Path) -> ir.ExternalTensor:
    """Return a tensor that knows in which folder its file lies."""
    root, location = folder.resolve(), str(tensor.location)
    real = real_path(folder, location)
    if real is None or (real == root / location and real.stat().st_nlink == 1):
        tensor.base_dir = str(root)
        return tensor
    return ir.ExternalTensor(
        str(real), tensor.offset, tensor.length, tensor.dtype, shape=tensor.shape, name=str(tensor.name), base_dir=""
    )
