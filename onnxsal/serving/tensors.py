"""Tensors as the Open Inference Protocol writes them: nested lists in JSON, or bytes behind it."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError

BYTES = "BYTES"
"""The datatype of strings and of files: an array of objects, each ``bytes``."""

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    BYTES: np.dtype(object),
}
"""The protocol's datatypes, little-endian as their binary form is."""

AXES = 32
"""Axes that a tensor may have: numpy's own number was this for long, and nothing comes near."""

MOST = 2**40
"""Elements that a shape may stand for, an axis of none counted as one: more than any body holds."""

_NUMBERS: dict[str, tuple[str, set[type]]] = {
    "b": ("true and false", {bool}), "i": ("whole numbers", {int}), "u": ("whole numbers", {int}),
    "f": ("numbers", {int, float}),
}  # fmt: skip
"""What values of JSON have to be, by the kind of array: a fraction is no count, and true is no 1."""


def datatype_of(array: NDArray[Any]) -> str:
    """Return the protocol's name of an array's type. Raises: UsageError: it has none."""
    if array.dtype.kind in "OSU":
        return BYTES
    for name, dtype in DATATYPES.items():
        if dtype == array.dtype.newbyteorder("<"):
            return name
    raise UsageError(f"arrays of {array.dtype} have no datatype in the protocol")


def from_json(data: Any, datatype: str, shape: Sequence[int], name: str) -> NDArray[Any]:
    """Return the array of a tensor in JSON: a flat list, or nested as its shape says.

    Raises: UsageError: numbers of another kind, too large for the datatype, or of another count than the shape.
    """
    if not isinstance(data, list):
        raise UsageError(f"tensor {name!r}: expected data as a list")
    values, nesting = unnested(data, f"tensor {name!r}")
    if nesting != tuple(shape) and len(nesting) != 1:
        raise UsageError(f"tensor {name!r}: its data are nested as {list(nesting)}, its shape is {list(shape)}")
    if len(values) != math.prod(shape):
        raise UsageError(
            f"tensor {name!r}: shape {list(shape)} has {math.prod(shape)} elements; there are {len(values)}"
        )
    return array_of(values, datatype, f"tensor {name!r}").reshape(shape)


def unnested(data: Any, what: str) -> tuple[list[Any], tuple[int, ...]]:
    """Return the values in nested lists in order, and how they are nested; of one value (). Raises: UsageError: ragged.

    NumPy would ask for as much room for every value as for the longest text among them.
    """
    values, shape = [data], tuple[int, ...]()
    while len(shape) <= AXES and values and all(type(each) is list for each in values):
        lengths = set(map(len, values))
        if len(lengths) > 1:
            raise UsageError(f"{what}: its lists are not of one length")
        shape = (*shape, lengths.pop())
        values = list(chain.from_iterable(values))
    return values, shape


def array_of(values: list[Any], datatype: str, what: str) -> NDArray[Any]:
    """Return values of JSON as an array [N]. Raises: UsageError: they are of another kind, or too large for it."""
    if datatype == BYTES:
        return _texts(values, what)
    dtype = DATATYPES[datatype]
    wanted, kinds = _NUMBERS[dtype.kind]
    if not set(map(type, values)) <= kinds:
        raise UsageError(f"{what}: {datatype} takes {wanted}")
    try:
        with np.errstate(over="ignore"):
            found = np.array(values, dtype)
    except OverflowError:
        raise UsageError(f"{what}: a number is too large for {datatype}") from None
    if dtype.kind == "f" and not np.isfinite(found).all():
        raise UsageError(f"{what}: a number is too large for {datatype}")
    return found


def _texts(values: list[Any], what: str) -> NDArray[Any]:
    if not set(map(type, values)) <= {str}:
        raise UsageError(f"{what}: BYTES takes text; files go as binary data, or as base64")
    found = np.empty(len(values), object)
    try:
        found[:] = [each.encode() for each in values]
    except UnicodeEncodeError:
        raise UsageError(f"{what}: half of a surrogate pair is no text") from None
    return found


def from_bytes(content: memoryview, datatype: str, shape: Sequence[int], name: str) -> NDArray[Any]:
    """Return the array of a tensor's bytes, which it shares and which cannot be written to.

    Raises: UsageError: other than the shape says, or a truth value that is neither 0 nor 1.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        if 4 * count > len(content):  # before there is room made for them
            raise UsageError(f"tensor {name!r}: {count} elements of BYTES do not fit into {len(content)} bytes")
        found = np.empty(count, object)
        found[:] = list(_pieces(content, count, name))
        return found.reshape(shape)
    dtype = DATATYPES[datatype]
    if len(content) != count * dtype.itemsize:
        raise UsageError(
            f"tensor {name!r}: {datatype} of shape {list(shape)} takes {count * dtype.itemsize} bytes; "
            f"there are {len(content)}"
        )
    if datatype == "BOOL" and np.frombuffer(content, np.uint8).max(initial=0) > 1:
        raise UsageError(f"tensor {name!r}: a truth value is a byte 0 or 1")
    return np.frombuffer(content, dtype).reshape(shape)


def _pieces(content: memoryview, count: int, name: str) -> Iterator[bytes]:
    """Yield elements, each behind its length in four bytes."""
    at = 0
    for index in range(count):
        if at + 4 > len(content):
            raise UsageError(f"tensor {name!r}: its bytes end at element {index} of {count}")
        (length,) = struct.unpack_from("<I", content, at)
        at += 4
        if at + length > len(content):
            raise UsageError(f"tensor {name!r}: element {index} has {length} bytes, {len(content) - at} are left")
        yield bytes(content[at : at + length])
        at += length
    if at != len(content):
        raise UsageError(f"tensor {name!r}: {len(content) - at} bytes are left behind its {count} elements")


def to_bytes(array: NDArray[Any]) -> bytes:
    """Return a tensor's binary form: row by row, little-endian; elements of BYTES behind their lengths."""
    if datatype_of(array) == BYTES:
        several = [_encoded(each) for each in array.ravel()]
        return b"".join(part for each in several for part in (struct.pack("<I", len(each)), each))
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def to_json(array: NDArray[Any], name: str, nested: bool = False) -> str:
    """Return a tensor as a list in JSON, flat or as its axes are nested.

    Raises: UsageError: it holds what JSON cannot write, which is what bytes are for.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UsageError(f"output {name!r} holds NaN or infinity, which JSON cannot write: ask for it with binary_data")
    if nested and array.ndim != 1:
        return f"[{','.join(to_json(each, name, True) for each in array)}]" if array.ndim else _list(array, name)[1:-1]
    return _list(array, name)


_DIGITS = {"float16": 5, "float32": 9, "float64": 17}
"""That tell every number of a type from its neighbours."""


def _list(array: NDArray[Any], name: str) -> str:
    values: list[Any] = array.ravel().tolist()
    if datatype_of(array) == BYTES:
        return json.dumps([_text(each, name) for each in values], separators=(",", ":"))
    if array.dtype.kind != "f":
        return json.dumps(values, separators=(",", ":"))
    # All at once and by their digits: json asks each for its shortest form, which takes three times as long.
    text = ",".join([f"%.{_DIGITS[array.dtype.name]}g"] * len(values)) % tuple(values)
    return f"[{text}]".replace("-0,", "-0.0,").replace("-0]", "-0.0]")  # -0 would be read as the whole number 0


def _text(value: Any, name: str) -> str:
    try:
        return _encoded(value).decode()
    except UnicodeDecodeError:
        raise UsageError(f"output {name!r} is no text: ask for it with binary_data") from None


def check_shape(shape: Any, name: str) -> tuple[int, ...]:
    """Return a tensor's shape. Raises: UsageError: it is no list of whole numbers from 0 on."""
    sizes = isinstance(shape, list) and all(type(each) is int and each >= 0 for each in shape)
    if not sizes or len(shape) > AXES:
        raise UsageError(f"tensor {name!r}: expected a shape as a list of up to {AXES} whole numbers from 0 on")
    if math.prod(each or 1 for each in shape) > MOST:
        raise UsageError(f"tensor {name!r}: no tensor is as large as {list(shape)}")
    return tuple(shape)


def _encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
