"""What goes over the wire: the Open Inference Protocol's version 2 with its binary tensors, and KServe's version 1."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError, nearest
from onnxsal.modalities.image.sniff import is_picture
from onnxsal.serving.tensors import (
    BYTES,
    DATATYPES,
    array_of,
    check_shape,
    datatype_of,
    from_bytes,
    from_json,
    to_bytes,
    to_json,
    unnested,
)

Arrays = Mapping[str, NDArray[Any]]

HEADER_LENGTH = "inference-header-content-length"
"""The header that says how long the JSON in front of binary tensors is."""

BASE64 = "base64"
"""The ``content_type`` of a tensor of BYTES whose elements are files, where they have to be text of JSON."""


@dataclass(frozen=True)
class Call:
    """What a request asks for."""

    inputs: Arrays
    parameters: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, bool | None] = field(default_factory=dict)
    """Those that are wanted, all where none is named, and whether as bytes; None: as ``binary`` says."""
    binary: bool = False
    id: str | None = None


def read_v2(body: bytes, header_length: str | None) -> Call:
    """Return the call of a request of version 2.

    Args: header_length: the header ``Inference-Header-Content-Length``, where there is one.
    Raises: UsageError: the request is not what the protocol says; the message tells where.
    """
    split = _header(header_length, len(body))
    asked = read_object(body[:split])
    _known(asked, {"id", "inputs", "parameters", "outputs"}, "the request")
    parameters = _object(asked.get("parameters"), "parameters")
    rest = _Rest(memoryview(body)[split:])
    inputs: dict[str, NDArray[Any]] = {}
    for each in _list(asked.get("inputs"), "inputs"):
        name = _name(each, "an input")
        if name in inputs:
            raise UsageError(f"input {name!r} is there twice")
        inputs[name] = _tensor(each, name, rest)
    rest.check_empty()
    parameters = dict(parameters)
    binary = _flag(parameters.pop("binary_data_output", False), "binary_data_output")
    outputs = {_name(each, "an output"): _output_binary(each) for each in _list(asked.get("outputs", []), "outputs")}
    return Call(inputs, parameters, outputs, binary, _id(asked.get("id")))


@dataclass
class _Rest:
    """The bytes behind the JSON, taken from the front."""

    content: memoryview
    at: int = 0

    def take(self, count: int, name: str) -> memoryview:
        if self.at + count > len(self.content):
            left = len(self.content) - self.at
            raise UsageError(f"tensor {name!r}: binary_data_size is {count}, and {left} bytes are left of the body")
        self.at += count
        return self.content[self.at - count : self.at]

    def check_empty(self) -> None:
        if self.at != len(self.content):
            raise UsageError(f"{len(self.content) - self.at} bytes are left behind the last tensor of the body")


def _header(given: str | None, length: int) -> int:
    if given is None:
        return length
    if not (given.isascii() and given.isdecimal() and len(given) < 16 and int(given) <= length):
        raise UsageError(f"Inference-Header-Content-Length: expected a number from 0 to the body's {length}")
    return int(given)


def _tensor(each: Mapping[str, Any], name: str, rest: _Rest) -> NDArray[Any]:
    _known(each, {"name", "shape", "datatype", "parameters", "data"}, f"input {name!r}")
    shape, datatype = check_shape(each.get("shape"), name), each.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise UsageError(f"tensor {name!r}: expected a datatype out of {', '.join(DATATYPES)}")
    parameters = _object(each.get("parameters"), "parameters")
    size = parameters.get("binary_data_size")
    if size is None:
        found = from_json(each.get("data"), datatype, shape, name)
        return _decoded(found, name) if parameters.get("content_type") == BASE64 and datatype == BYTES else found
    if type(size) is not int or size < 0:
        raise UsageError(f"tensor {name!r}: expected binary_data_size as a whole number from 0 on")
    if "data" in each:
        raise UsageError(f"tensor {name!r} has data and binary_data_size: one of them")
    return from_bytes(rest.take(size, name), datatype, shape, name)


def _decoded(texts: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the files that texts of base64 hold."""
    found = np.empty(texts.size, object)
    found[:] = [from_base64(each, f"tensor {name!r}") for each in texts.ravel()]
    return found.reshape(texts.shape)


def _output_binary(each: Mapping[str, Any]) -> bool | None:
    given = _object(each.get("parameters"), "parameters").get("binary_data")
    return None if given is None else _flag(given, "binary_data")


def write_v2(
    name: str, call: Call, arrays: Arrays, told: Mapping[str, Any], files: Collection[str] = ()
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and how long the JSON in front of its binary tensors is, where there are any.

    Args: told: the parameters of the answer. files: outputs whose elements are the content of files.
    Raises: UsageError: an output that is wanted is not there, or JSON cannot write it.
    """
    outputs, behind = list[bytes](), list[bytes]()
    for output, array in chosen(arrays, call.outputs).items():
        wanted = call.outputs.get(output)
        one: dict[str, Any] = {"name": output, "datatype": datatype_of(array), "shape": list(array.shape)}
        if call.binary if wanted is None else wanted:
            behind.append(to_bytes(array))
            outputs.append(write_json(one | {"parameters": {"binary_data_size": len(behind[-1])}}))
        elif output in files:
            coded = [to_base64(each) for each in array.ravel()]
            outputs.append(write_json(one | {"parameters": {"content_type": BASE64}, "data": coded}))
        else:
            outputs.append(with_text(one, "data", to_json(array, output)))
    answer = {"model_name": name, "model_version": "1", **({} if call.id is None else {"id": call.id}),
              **({"parameters": told} if told else {})}  # fmt: skip
    head = with_text(answer, "outputs", f"[{b','.join(outputs).decode()}]")
    return b"".join([head, *behind]), len(head) if behind else None


def chosen(arrays: Arrays, wanted: Mapping[str, Any]) -> Arrays:
    """Return the outputs that are wanted, in the order in which they are. Raises: UsageError: one is not there."""
    for name in wanted:
        if name not in arrays:
            raise UsageError(f"there is no output {name!r}{nearest(name, arrays)} (there are {', '.join(arrays)})")
    return {name: arrays[name] for name in wanted} if wanted else arrays


def read_v1(body: bytes, declared: Mapping[str, str]) -> list[Call]:
    """Return the calls of a request of version 1, one an instance, each input without its first axis.

    An instance is the value of the model's one input, or {name: value}; a value is a number, nested lists, text, or
    {"b64": ...} for a file.

    Args: declared: the datatype of every input of the model.
    Raises: UsageError: the request is not what the protocol says.
    """
    asked = read_object(body)
    _known(asked, {"instances", "inputs", "parameters", "signature_name"}, "the request")
    if ("instances" in asked) == ("inputs" in asked):
        raise UsageError('expected {"instances": [...]}')
    several = _list(asked.get("instances", asked.get("inputs")), "instances", of=object)
    if not several:
        raise UsageError("there are no instances")
    parameters = _object(asked.get("parameters"), "parameters")
    return [Call(_instance(each, declared, at), parameters) for at, each in enumerate(several)]


def _instance(each: Any, declared: Mapping[str, str], at: int) -> Arrays:
    if isinstance(each, dict) and set(each) != {"b64"}:
        values = each
    elif len(declared) == 1:
        values = {next(iter(declared)): each}
    else:
        raise UsageError(f"instance {at}: the model has the inputs {', '.join(declared)}; name each, {{name: value}}")
    return {
        name: _value(value, declared.get(name, "FP32"), f"instance {at}, {name!r}") for name, value in values.items()
    }


def _value(value: Any, datatype: str, what: str) -> NDArray[Any]:
    if isinstance(value, dict):
        text = value.get("b64")
        if set(value) != {"b64"} or not isinstance(text, str):
            raise UsageError(f'{what}: expected numbers, text, or {{"b64": "..."}}')
        found = np.empty((), object)
        found[()] = from_base64(text, what)
        return found
    values, shape = unnested(value, what)
    text = any(isinstance(each, str) for each in values[:1])
    return array_of(values, BYTES if text else datatype, what).reshape(shape)


def from_base64(text: str | bytes, what: str) -> bytes:
    """Return what base64 stands for. Raises: UsageError: it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # binascii's is one, and text beyond ASCII
        raise UsageError(f"{what} is no base64") from None


def to_base64(content: bytes) -> str:
    """Return a file as text."""
    return base64.b64encode(content).decode()


def plain_v1(arrays: Arrays) -> str:
    """Return what an instance gave: its one output, or {name: value}. Raises: UsageError: JSON cannot write it."""
    several = {name: to_json(array, name, nested=True) for name, array in arrays.items()}
    if len(several) == 1:
        return next(iter(several.values()))
    return f"{{{','.join(f'{json.dumps(name)}:{text}' for name, text in several.items())}}}"


def read_object(body: bytes | memoryview) -> dict[str, Any]:
    """Return the object that a body is. Raises: UsageError: it is none, or says something twice."""
    if is_picture(bytes(body[:16])):
        raise UsageError(
            "the body is a picture's file, which /v2/models/MODEL/explain alone takes so; elsewhere it goes into a "
            "tensor of BYTES, or into JSON as base64"
        )
    try:
        found = json.loads(bytes(body), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise UsageError("the JSON is nested too deep") from None
    except UsageError:
        raise
    except ValueError as error:  # json's and Unicode's are such
        raise UsageError(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError("the body is JSON, and no object")
    return found


def write_json(value: Any) -> bytes:
    """Return JSON without spaces, and without the NaN that JSON does not have."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def with_text(value: Mapping[str, Any], name: str, text: str) -> bytes:
    """Return an object, which is not empty, with one thing more, that is JSON already."""
    return write_json(value)[:-1] + f",{json.dumps(name)}:{text}}}".encode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for at, (name, _) in enumerate(pairs) if name in dict(pairs[:at]))
        raise UsageError(f"{twice!r} is said twice in the JSON")
    return found


def _no_number(text: str) -> NoReturn:
    raise UsageError(f"{text} is no number of JSON: send the tensor as binary data")


def _object(value: Any, what: str) -> dict[str, Any]:
    """Return an object; null is what clients write where they have none."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise UsageError(f"{what}: expected an object of JSON, got {type(value).__name__}")


def _list(value: Any, what: str, of: type = dict) -> list[Any]:
    if isinstance(value, list) and all(isinstance(each, of) for each in value):
        return value
    if value is None and what == "outputs":
        return []
    raise UsageError(f"{what}: expected a list{' of objects' if of is dict else ''}")


def _name(each: Mapping[str, Any], what: str) -> str:
    name = each.get("name")
    if isinstance(name, str) and name:
        return name
    raise UsageError(f"{what} has no name")


def _flag(value: Any, what: str) -> bool:
    if isinstance(value, bool):
        return value
    raise UsageError(f"{what}: expected true or false")


def _id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise UsageError("id: expected text")


def _known(given: Mapping[str, Any], known: set[str], what: str) -> None:
    for name in given:
        if name not in known:
            raise UsageError(f"{what} has {name!r}{nearest(name, known)}; it may have {', '.join(sorted(known))}")
