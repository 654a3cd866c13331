"""Models on disk: reading with every way it can fail told apart, writing whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx_ir.passes.common import TopologicalSortPass

from onnxsal.errors import ModelError, OutputError, UnsupportedError, UsageError
from onnxsal.files import is_address, replacing
from onnxsal.graph.check import check_proto, model_errors
from onnxsal.graph.external import bind_external, check_external, external_files, folder_of
from onnxsal.graph.held import hold

PROTOBUF_LIMIT = 2**31 - 2**20
"""A protobuf message may not reach 2 GiB; the rest is head room for the structure around the weights."""

EXTERNAL_THRESHOLD = 1024
"""Tensors smaller than this many bytes stay in the file even when weights go outside."""

EXTERNAL_FILES = "onnxsal.external_files"
"""Where a model that was read keeps the paths of the files that hold weights of it, in ``meta``."""

_SIGNATURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"RIFF": "a RIFF file (a WebP picture?)",
    b"BM": "a BMP picture",
    b"PK\x03\x04": "a zip archive (a PyTorch checkpoint?)",
    b"\x89HDF": "an HDF5 file (a Keras model?)",
    b"%PDF": "a PDF",
    b"version https://git-lfs": "a Git LFS pointer, not the model itself (run `git lfs pull`)",
}


def load_ir(source: str | os.PathLike[str] | onnx.ModelProto, *, beside: Path | None = None) -> ir.Model:
    """Return a model as ``onnx_ir`` reads it; external weights stay references into their files.

    A message does not know its folder: external weights are looked for in ``beside``, then in the current folder.
    Raises: ModelError: no such file, not an ONNX model, damaged, or weights that are missing or outside its folder.
    UsageError: neither a path nor a message.
    """
    if isinstance(source, onnx.ModelProto):
        return _from_proto(source, "the model", folder_of(source, *([beside] if beside else []), Path(".")))
    if not isinstance(source, str | os.PathLike):
        raise UsageError(f"a model is the path of an .onnx file or a ModelProto; got {type(source).__name__}")
    if is_address(source):
        raise ModelError(f"{source!r} is an address, not a file: download the model and name its file")
    path = Path(source)
    return _from_proto(_parse(path), str(path), path.parent)


def _parse(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        raise ModelError(f"{str(path)!r} is a folder; name the .onnx file in it")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"there is no model file {str(path)!r}") from None
    except OSError as error:
        raise ModelError(f"cannot read the model {str(path)!r}: {error.strerror or error}") from error
    return _decode(data, str(path))


def _decode(data: bytes, name: str) -> onnx.ModelProto:
    if not data:
        raise ModelError(f"the model file {name!r} is empty")
    kind = next((text for magic, text in _SIGNATURES.items() if data.startswith(magic)), None)
    if kind or data[4:8] == b"TFL3":
        raise ModelError(f"{name!r} is {kind or 'a TensorFlow Lite model'}, not an ONNX model")
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise ModelError(f"{name!r} is not an ONNX model, or the file is damaged or cut short") from None
    return proto


def _check_kinds(proto: onnx.ModelProto) -> None:
    """onnx_ir reads no maps, which scikit-learn's converter makes of scores where it is not told otherwise."""
    values = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    maps = [v.name for v in values if "map_type" in (v.type.WhichOneof("value"), _element(v.type))]
    if maps:
        raise UnsupportedError(
            f"{maps[0]!r} is a map, not a tensor: export the model without ZipMap "
            "(skl2onnx: options={'zipmap': False})"
        )


def _element(kind: onnx.TypeProto) -> str | None:
    return kind.sequence_type.elem_type.WhichOneof("value") if kind.HasField("sequence_type") else None


def _from_proto(proto: onnx.ModelProto, name: str, folder: Path) -> ir.Model:
    check_proto(proto, name)
    check_external(proto, name, folder)
    _check_kinds(proto)
    with model_errors(f"{name!r} is damaged"):
        model = ir.from_proto(proto)
        bind_external(model, folder)
        hold(model)
    model.meta[EXTERNAL_FILES] = external_files(proto, folder)
    if not _in_order(proto.graph):
        with model_errors(f"{name!r} is not valid: its graph is cyclic"):
            TopologicalSortPass()(model)
    return model


def _in_order(graph: onnx.GraphProto) -> bool:
    """Whether nodes come after those that they read, as the format asks; subgraphs reach out of their own."""
    late = {output for node in graph.node for output in node.output if output}
    for node in graph.node:
        if any(a.HasField("g") for a in node.attribute) or not late.isdisjoint(node.input):
            return False
        late.difference_update(node.output)
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def weight_bytes(model: ir.Model) -> int:
    """Return how many bytes the initializers of the main graph take."""
    return sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)


def to_proto(model: ir.Model) -> onnx.ModelProto:
    """Return the model as one ModelProto; tensors that were external stay references.

    Raises: UnsupportedError: the weights inside exceed protobuf's 2 GiB.
    """
    inside = sum(
        v.const_value.nbytes
        for v in model.graph.initializers.values()
        if v.const_value is not None and not isinstance(v.const_value, ir.ExternalTensor)
    )
    if inside > PROTOBUF_LIMIT:
        raise UnsupportedError("the weights inside exceed 2 GiB, the limit of one message; keep them external")
    proto: Any = ir.to_proto(model)
    return proto  # type: ignore[no-any-return]


def save_ir(model: ir.Model, path: str | os.PathLike[str]) -> None:
    """Write the model to ``path``; weights that were external, or too many for one file, lie in ``<name>.data``.

    Raises: OutputError: nothing can be written there.
    """
    target = Path(path)
    external = any(isinstance(v.const_value, ir.ExternalTensor) for v in model.graph.initializers.values())
    with replacing(target) as part:
        try:
            if external or weight_bytes(model) > PROTOBUF_LIMIT:
                _save_beside(model, target, part)
            else:
                part.write_bytes(to_proto(model).SerializeToString())
        except ValueError as error:
            raise OutputError(f"cannot write {str(target)!r}: {_first_line(error)}") from error


def _save_beside(model: ir.Model, target: Path, part: Path) -> None:
    with replacing(target.with_name(target.name + ".data")) as data:
        ir.save(model.clone(), part, external_data=data.name, size_threshold_bytes=EXTERNAL_THRESHOLD)
        proto = onnx.load(part, load_external_data=False)
        for tensor in proto.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = target.name + ".data"
        part.write_bytes(proto.SerializeToString())
