"""Models on disk: reading with every way it can fail told apart, writing whole or not at all."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx_ir.passes.common import TopologicalSortPass

from onnxsal.errors import ModelError, OutputError, UnsupportedError, UsageError
from onnxsal.files import is_address, replacing
from onnxsal.graph.check import check_proto, model_errors
from onnxsal.graph.external import (
    bind_external,
    bring_in,
    check_external,
    external_files,
    external_values,
    folder_of,
    rename_locations,
)
from onnxsal.graph.foreign import foreign, in_folder
from onnxsal.graph.lookalikes import instead, lookalike
from onnxsal.graph.maps import CLASS_LABELS, without_maps
from onnxsal.graph.sparse import densified
from onnxsal.graph.weights import describe, hold
from onnxsal.graph.written import check_written

PROTOBUF_LIMIT = 2**31 - 2**20
"""A protobuf message may not reach 2 GiB; the rest is head room for the structure around the weights."""

EXTERNAL_THRESHOLD = 1024
"""Tensors smaller than this many bytes stay in the file even when weights go outside."""

EXPLAINER = "onnxsal.explainer"
"""The key of the metadata of a file that explains itself: what it computes."""

EXTERNAL_FILES = "onnxsal.external_files"
"""Where a model that was read keeps the paths of the files that hold weights of it, in ``meta``."""


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
        raise ModelError(f"{str(path)!r} {in_folder(path)}")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"there is no model file {str(path)!r}") from None
    except OSError as error:
        raise ModelError(f"cannot read the model {str(path)!r}: {error.strerror or error}") from error
    return _decode(data, path)


def _decode(data: bytes, path: Path) -> onnx.ModelProto:
    if not data:
        raise ModelError(f"the model file {str(path)!r} is empty")
    if said := foreign(data):
        raise ModelError(f"{str(path)!r} is {said}")
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise ModelError(f"{str(path)!r} {lookalike(data, path)}") from None
    if not proto.HasField("graph") and (other := instead(data, path)):
        raise ModelError(f"{str(path)!r} {other}")
    return proto


def _from_proto(proto: onnx.ModelProto, name: str, folder: Path) -> ir.Model:
    check_proto(proto, name)
    check_external(proto, name, folder)
    proto, keys = without_maps(proto)
    with model_errors(f"{name!r} is damaged"):
        model = ir.from_proto(densified(proto, folder))
        bind_external(model, folder)
        hold(model)
        describe(model)
    model.meta[EXTERNAL_FILES] = external_files(proto, folder)
    model.meta[CLASS_LABELS] = keys
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
    """Return how many bytes the initializers take, those in the bodies of If, Loop and Scan too."""
    return sum(tensor.nbytes for tensor in _weights(model))


def _weights(model: ir.Model) -> list[ir.TensorProtocol]:
    held = (value.const_value for graph in model.graphs() for value in graph.initializers.values())
    return [tensor for tensor in held if tensor is not None]


def is_whole(model: ir.Model) -> bool:
    """Whether all weights lie inside the model."""
    return not external_values(model)


def made_whole(model: ir.Model) -> ir.Model:
    """Return the model with the weights that lay in files inside it, where one file can hold them all."""
    if weight_bytes(model) <= PROTOBUF_LIMIT:
        bring_in(external_values(model))
    return model


def warn_of_files(model: ir.Model) -> None:
    """Warn whoever is handed a message whose weights are too many for it, and lie in files."""
    outside = [value.const_value for value in external_values(model)]
    if outside:
        names = sorted({str(tensor.location) for tensor in outside if isinstance(tensor, ir.ExternalTensor)})
        text = "they stay where they are, and the model runs only where it is saved beside them (onnxsal.save)"
        warnings.warn(f"{_too_many(model)}: {text}: {', '.join(names)}", stacklevel=3)


def told_of_files(model: ir.Model, path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return what is to be said of a model that ``save_ir`` writes as two files, for want of room in one."""
    if is_whole(model) and weight_bytes(model) <= PROTOBUF_LIMIT:
        return ()
    return (f"{_too_many(model)}: they lie in {_data_of(Path(path)).name!r}, which has to stay beside it",)


def _too_many(model: ir.Model) -> str:
    return f"the weights take {weight_bytes(model) / 1e9:.1f} GB, more than one file can hold (2 GB)"


def to_proto(model: ir.Model, source: ir.Model | None = None) -> onnx.ModelProto:
    """Return the model as one ModelProto, checked in full; tensors that are external stay references.

    Args: source: the user's own model that it was built from: what is wrong there may be wrong here.
    Raises: UnsupportedError: the weights inside exceed protobuf's 2 GiB. InvalidGraphError: it is not valid.
    """
    inside = sum(tensor.nbytes for tensor in _weights(model) if not isinstance(tensor, ir.ExternalTensor))
    if inside > PROTOBUF_LIMIT:
        raise UnsupportedError("the weights inside exceed 2 GiB, the limit of one message; keep them external")
    proto: onnx.ModelProto = ir.to_proto(model)
    _check(proto, source)
    return proto


def _check(proto: onnx.ModelProto, source: ir.Model | None) -> None:
    check_written(proto, None if source is None else lambda: ir.to_proto(source))


def save_ir(model: ir.Model, path: str | os.PathLike[str], source: ir.Model | None = None) -> None:
    """Write the model to ``path``; weights that are external, or too many for one file, lie in ``<name>.data``.

    Args: source: the user's own model that it was built from: what is wrong there may be wrong here.
    Raises: OutputError: nothing can be written there. InvalidGraphError: the model is not valid; nothing is written.
    """
    target = Path(path)
    with replacing(target) as part:
        try:
            if not is_whole(model) or weight_bytes(model) > PROTOBUF_LIMIT:
                _save_beside(model, target, part, source)
            else:
                part.write_bytes(to_proto(model, source).SerializeToString())
        except ValueError as error:
            raise OutputError(f"cannot write {str(target)!r}: {_first_line(error)}") from error


def _data_of(target: Path) -> Path:
    return target.with_name(target.name + ".data")


def _save_beside(model: ir.Model, target: Path, part: Path, source: ir.Model | None) -> None:
    copy = model.clone()
    # onnx_ir would close the files of small ones, which arrays that others hold may look into.
    bring_in(
        v for v in external_values(copy) if v.const_value is not None and v.const_value.nbytes <= EXTERNAL_THRESHOLD
    )
    with replacing(_data_of(target)) as data:
        ir.save(copy, part, external_data=data.name, size_threshold_bytes=EXTERNAL_THRESHOLD)
        proto = onnx.load(part, load_external_data=False)
        rename_locations(proto, _data_of(target).name)
        _check(proto, source)
        part.write_bytes(proto.SerializeToString())
