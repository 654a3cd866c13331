"""Weights that lie in files beside the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from onnxsal.errors import ModelError
from onnxsal.graph.check import tensor_bytes


def check_external(proto: onnx.ModelProto, name: str, folder: Path) -> None:
    """Check that every weight outside the file is inside the model's folder, and all there.

    Raises: ModelError: a file is missing, too short, or outside the folder.
    """
    sizes: dict[str, int] = {}
    for tensor in _tensors(proto.graph):
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
    return sorted({e.value for t in _tensors(proto.graph) for e in t.external_data if e.key == "location"})


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)


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
    """Tell external tensors which folder they lie in; linked ones, which onnx_ir refuses, their real files."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _bound(value.const_value, folder)


def _bound(tensor: ir.ExternalTensor, folder: Path) -> ir.ExternalTensor:
    root, location = folder.resolve(), str(tensor.location)
    real = real_path(folder, location)
    if real is None or (real == root / location and real.stat().st_nlink == 1):
        tensor.base_dir = str(root)
        return tensor
    return ir.ExternalTensor(
        str(real), tensor.offset, tensor.length, tensor.dtype, shape=tensor.shape, name=str(tensor.name), base_dir=""
    )
