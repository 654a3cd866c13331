"""The protocol against its own text: bytes written here by hand, and every malformed request one clear message."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.serving.protocol import Call, read_v1, read_v2, write_v2
from onnxsal.serving.tensors import DATATYPES, to_json

# (datatype, values as JSON has them, struct's letter): little-endian, row by row
NUMBERS = [
    ("BOOL", [True, False], "?"), ("UINT8", [0, 255], "B"), ("UINT16", [1, 2**16 - 1], "H"), ("FP16", [0.5, -2], "e"),
    ("UINT32", [1, 2**32 - 1], "I"), ("UINT64", [1, 2**64 - 1], "Q"), ("INT8", [-128, 127], "b"),
    ("INT16", [-(2**15), 1], "h"), ("INT32", [-(2**31), 1], "i"), ("INT64", [-(2**63), 1], "q"),
    ("FP32", [0.1, 3], "f"), ("FP64", [0.1, 1e300], "d"),
]  # fmt: skip


def request(*inputs: dict[str, Any], behind: bytes = b"", **more: Any) -> tuple[bytes, str]:
    head = json.dumps({"inputs": list(inputs), **more}).encode()
    return head + behind, str(len(head))


def tensor(datatype: str, shape: Any, data: Any = None, size: Any = None, name: Any = "x") -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    return made | ({"data": data} if size is None else {"parameters": {"binary_data_size": size}})


@pytest.mark.parametrize(("datatype", "values", "letter"), NUMBERS)
def test_numbers_are_the_same_as_text_and_as_bytes_and_both_ways(datatype: str, values: list[Any], letter: str) -> None:
    packed = struct.pack(f"<2{letter}", *values)
    several = [tensor(datatype, [1, 2], values, name="flat"), tensor(datatype, [1, 2], [values], name="nested"),
               tensor(datatype, [2], size=len(packed), name="bytes")]  # fmt: skip
    call = read_v2(*request(*several, behind=packed))
    assert [array.shape for array in call.inputs.values()] == [(1, 2), (1, 2), (2,)]
    for array in call.inputs.values():
        assert array.dtype == DATATYPES[datatype]
        assert array.tobytes() == packed
    body, head = write_v2("m", Call({}, outputs={"flat": None, "bytes": True}), call.inputs, {})
    told = json.loads(body[:head])["outputs"]
    assert body[head:] == packed
    assert told[1] == {
        "name": "bytes",
        "datatype": datatype,
        "shape": [2],
        "parameters": {"binary_data_size": len(packed)},
    }
    assert np.array(told[0]["data"], DATATYPES[datatype]).tobytes() == packed


def test_files_and_texts_are_bytes_behind_their_lengths_or_text() -> None:
    files = [b"\xff\x00", b"", "ü".encode()]
    packed = b"".join(struct.pack("<I", len(each)) + each for each in files)
    coded = [base64.b64encode(each).decode() for each in files]
    by_base64 = tensor("BYTES", [3], coded, name="b") | {"parameters": {"content_type": "base64"}}
    call = read_v2(*request(tensor("BYTES", [3], size=len(packed), name="a"), by_base64, behind=packed, id="7"))
    assert call.inputs["a"].tolist() == call.inputs["b"].tolist() == files
    body, head = write_v2("m", Call({}, binary=True), {"a": call.inputs["a"]}, {})
    assert body[head:] == packed
    with pytest.raises(UsageError, match="binary_data"):
        write_v2("m", Call({}), call.inputs, {})
    answer = json.loads(write_v2("m", call, {"p": call.inputs["a"]}, {}, files={"p"})[0])
    assert answer["id"] == "7"
    assert answer["outputs"][0]["data"] == coded


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_every_size_are_the_same_when_they_were_text(dtype: type[np.floating[Any]]) -> None:
    whole = np.dtype(dtype).itemsize * 8
    bits = np.random.default_rng(0).integers(0, 2**whole, 20_000, np.uint64)
    several = bits.astype(f"u{whole // 8}").view(dtype)
    several = np.concatenate([several[np.isfinite(several)], np.zeros(1, dtype), np.finfo(dtype).max.reshape(1)])
    several = np.concatenate([several, -np.zeros(1, dtype), several[:1], -np.zeros(1, dtype)])
    for text in (to_json(several, "y"), to_json(several.reshape(1, -1, 1), "y", nested=True)):
        assert np.array(json.loads(text), dtype).tobytes() == several.tobytes()
    assert json.loads(to_json(several[0], "y", nested=True)) == several[0]
    assert dtype == np.float64 or len(to_json(several, "y")) < 0.8 * len(json.dumps(several.tolist()))


def test_what_json_cannot_write_is_said_and_goes_as_bytes() -> None:
    arrays = {"y": np.float32([np.nan, np.inf])}
    with pytest.raises(UsageError, match="NaN or infinity"):
        write_v2("m", Call({}), arrays, {})
    body, head = write_v2("m", Call({}, binary=True), arrays, {})
    assert body[head:] == arrays["y"].tobytes()


A, TEXT = tensor("FP32", [2], [1, 2]), tensor("BYTES", [1], ["a"])
DEEP = b'{"inputs":' + b"[" * 100_000
MALFORMED = {
    "no JSON": (b"{", None), "nothing": (b"", None), "no object": (b"[]", None), "no text": (b"\xff", None),
    "deep": (DEEP, None), "NaN": (b'{"inputs": NaN}', None), "twice": (b'{"id": "a", "id": "b", "inputs": []}', None),
    "a number of 5000 digits": (b'{"inputs": [' + b"1" * 5000 + b"]}", None), "no inputs": (b"{}", None),
    "inputs of numbers": (b'{"inputs": [1]}', None), "a header beyond": (b"{}", "3"), "a header of words": (b"{}", "²"),
    "an unknown word": request(A, output=[]), "no name": request(tensor("FP32", [1], [1], name="")),
    "a name twice": request(A, A), "a negative axis": request(tensor("FP32", [-1, 2], [1, 2])),
    "axes of words": request(tensor("FP32", "2", [1, 2])), "axes of truth": request(tensor("FP32", [True], [1])),
    "a huge shape": request(tensor("FP32", [2**40, 2**40], [])),
    "huge texts": request(tensor("BYTES", [2**39], size=4)),
    "33 axes": request(tensor("FP32", [1] * 33, [1])), "no datatype": request(tensor("FP8", [1], [1])),
    "a list as datatype": request(tensor([], [1], [1])), "no data": request(tensor("FP32", [1])),  # type: ignore[arg-type]
    "data of words": request(tensor("FP32", [1], "1")), "too few": request(tensor("FP32", [3], [1, 2])),
    "ragged": request(tensor("FP32", [3], [[1, 2], [3]])),
    "other nesting": request(tensor("FP32", [4], [[1, 2], [3, 4]])),
    "null": request(tensor("FP32", [1], [None])), "a text among numbers": request(tensor("FP32", [2], ["a", 1])),
    "a fraction as a count": request(tensor("INT32", [1], [1.5])),
    "true as a count": request(tensor("INT32", [1], [True])),
    "1 as a truth": request(tensor("BOOL", [1], [1])), "a byte of 256": request(tensor("UINT8", [1], [256])),
    "a byte below": request(tensor("UINT8", [1], [-1])), "beyond 64 bits": request(tensor("UINT64", [1], [2**64])),
    "beyond floats": request(tensor("FP32", [1], [1e39])), "an integer beyond": request(tensor("FP64", [1], [10**400])),
    "a number among texts": request(tensor("BYTES", [2], ["a", 1])),
    "half a pair": request(tensor("BYTES", [1], ["\ud800"])),
    "no base64": request(TEXT | {"parameters": {"content_type": "base64"}}),
    "data and bytes": request(A | {"parameters": {"binary_data_size": 8}}, behind=b"12345678"),
    "too few bytes": request(tensor("FP32", [2], size=8), behind=b"1234"),
    "other bytes": request(tensor("FP32", [2], size=4), behind=b"1234"), "bytes behind": request(A, behind=b"1"),
    "a size of words": request(tensor("FP32", [1], size="4"), behind=b"1234"),
    "a size below": request(tensor("FP32", [1], size=-4), behind=b"1234"),
    "a truth of 2": request(tensor("BOOL", [1], size=1), behind=b"\2"),
    "a length cut": request(tensor("BYTES", [1], size=2), behind=b"\1\0"),
    "an element cut": request(tensor("BYTES", [1], size=5), behind=b"\2\0\0\0a"),
    "behind an element": request(tensor("BYTES", [1], size=6), behind=b"\1\0\0\0ab"),
    "outputs of words": request(A, outputs=["y"]), "a flag of words": request(A, parameters={"binary_data_output": 1}),
    "another flag": request(A, outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]),
    "parameters of words": request(A, parameters="a"), "an id of numbers": request(A, id=7),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_is_one_clear_message(case: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_v2(*MALFORMED[case])
    assert 10 < len(str(raised.value)) < 400


def test_instances_are_values_or_named_and_files_are_base64() -> None:
    coded = base64.b64encode(b"\xff").decode()
    calls = read_v1(json.dumps({"instances": [[[1, 2]], {"x": 3}, {"b64": coded}, "a"]}).encode(), {"x": "FP32"})
    first, second, third, fourth = (call.inputs["x"] for call in calls)
    assert (first.dtype, first.tolist(), second.tolist()) == (np.float32, [[1, 2]], 3)
    assert (third[()], fourth[()]) == (b"\xff", b"a")


@pytest.mark.parametrize(
    "asked",
    [{}, {"instances": []}, {"instances": 1}, {"instances": [1], "inputs": [1]}, {"instances": [[1, [2]]]},
     {"instances": [{"b64": "?"}]}, {"instances": [{"x": {"b64": 1}}]}, {"instances": [1.5], "more": 1}],
)  # fmt: skip
def test_malformed_instances_are_one_clear_message(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r".{10}"):
        read_v1(json.dumps(asked).encode(), {"x": "INT64"})


def test_a_model_of_several_inputs_has_each_named() -> None:
    with pytest.raises(UsageError, match="name each"):
        read_v1(b'{"instances": [1]}', {"x": "FP32", "y": "FP32"})
