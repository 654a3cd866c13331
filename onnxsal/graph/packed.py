"""Models as plain data that can be pickled: graphs of any depth, weights of any size, each weight once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import ModelError
from onnxsal.graph.weights import hold, is_plain

_PLACE = "onnxsal/packed"
_SMALL = 1024
"""Weights of at most this many bytes stay in the message."""


@dataclass(frozen=True)
class _Outside:
    """A weight in a file: only the way to it is packed."""

    folder: str
    location: str
    offset: int | None
    length: int | None
    dtype: int
    shape: tuple[int, ...]


Weight = NDArray[Any] | bytes | _Outside
"""An array, what one message of a tensor is (types that NumPy does not have), or where it lies."""


@dataclass(frozen=True)
class Packed:
    """Models without their weights, as messages, what they keep beside their graph, and all weights of all of them."""

    messages: tuple[bytes, ...]
    meta: tuple[dict[str, Any], ...]
    weights: tuple[Weight, ...]


def pack(models: Sequence[ir.Model]) -> Packed:
    """Return models as plain data; a weight that several share is in it once, arrays are handed over as they are."""
    found: dict[int, tuple[int, ir.TensorProtocol]] = {}
    messages = tuple(_message(model, found) for model in models)
    weights = tuple(_weight(tensor) for _, tensor in found.values())
    return Packed(messages, tuple(dict(model.meta) for model in models), weights)


def unpack(packed: Packed) -> list[ir.Model]:
    """Return the models again, their weights shared as they were.

    Raises: ModelError: a file that holds weights is not where it was.
    """
    pairs = zip(packed.messages, packed.meta, strict=True)
    return [_model(message, meta, packed.weights) for message, meta in pairs]


def _message(model: ir.Model, found: dict[int, tuple[int, ir.TensorProtocol]]) -> bytes:
    """Return the message of a model that names its weights by their number in ``found``, which grows."""
    stub = model.clone()
    for graph in stub.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and (tensor.nbytes > _SMALL or isinstance(tensor, ir.ExternalTensor)):
                number, _ = found.setdefault(id(tensor), (len(found), tensor))
                value.const_value = _stand_in(value, tensor, number)
    return bytes(ir.to_proto(stub).SerializeToString())


def _stand_in(value: ir.Value, tensor: ir.TensorProtocol, number: int) -> ir.ExternalTensor:
    shape = ir.Shape(tuple(tensor.shape.numpy()))
    return ir.ExternalTensor(_PLACE, number, 1, tensor.dtype, shape=shape, name=str(value.name), base_dir="")


def _weight(tensor: ir.TensorProtocol) -> Weight:
    if isinstance(tensor, ir.ExternalTensor):
        shape = tuple(tensor.shape.numpy())
        folder = str(Path(tensor.base_dir).resolve())
        return _Outside(folder, str(tensor.location), tensor.offset, tensor.length, int(tensor.dtype), shape)
    if is_plain(tensor.dtype):
        return np.ascontiguousarray(tensor.numpy()).reshape(tuple(tensor.shape.numpy()))
    return bytes(ir.to_proto(tensor).SerializeToString())


def _tensor(weight: Weight, name: str) -> ir.TensorProtocol:
    if isinstance(weight, _Outside):
        return _outside(weight, name)
    if isinstance(weight, bytes):
        proto = onnx.TensorProto.FromString(weight)
        proto.name = name
        tensor: ir.TensorProtocol = ir.from_proto(proto)
        return tensor
    return ir.Tensor(weight, name=name)


def _outside(weight: _Outside, name: str) -> ir.ExternalTensor:
    path = Path(weight.folder, weight.location)
    if not path.is_file():
        raise ModelError(f"the pickled model keeps weights in {str(path)!r}, which is not there")
    return ir.ExternalTensor(
        weight.location, weight.offset, weight.length, ir.DataType(weight.dtype), shape=ir.Shape(weight.shape),
        name=name, base_dir=weight.folder,
    )  # fmt: skip


def _model(message: bytes, meta: dict[str, Any], weights: Sequence[Weight]) -> ir.Model:
    model: ir.Model = ir.from_proto(onnx.ModelProto.FromString(message))
    for graph in model.graphs():
        for value in graph.initializers.values():
            held = value.const_value
            if isinstance(held, ir.ExternalTensor) and held.location == _PLACE:
                value.const_value = _tensor(weights[held.offset or 0], str(value.name))
    hold(model)
    model.meta.update(meta)
    return model
