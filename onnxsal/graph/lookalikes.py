"""What a file is that has no sign of its own at its beginning: other messages of protobuf, text, weights, damage."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from onnxsal.graph.check import tensor_bytes

_SAMPLE = 1 << 16
_RANDOM = 7.95
"""Bits a byte from which on bytes look random; float weights have about 7.4."""

_GRAPH = 7
"""The number of a model's field that holds its graph."""

_BACK = "name the ONNX file that it was made from, or export the model it came from"
_BEGINS = "it begins with {!r}; name the model's file, or download it again"
_TEXTS: tuple[tuple[str, str, str], ...] = (
    (r"\s*(<!doctype html|<html|<head|<body)", "a web page",
     "the download gave a page in place of the model (not found, or to be signed in for)"),
    (r"\s*<\?xml[^>]*>\s*<net\b", "an OpenVINO model (.xml)", _BACK),
    (r"\s*<net\b", "an OpenVINO model (.xml)", _BACK),
    (r"\s*<\?xml|\s*<Error>", "XML", _BEGINS),
    (r"\s*<\s*ir_version\s*:", "a model in ONNX's text form",
     "onnx.parser.parse_model reads the text; save what it gives with onnx.save"),
    (r"\s*(ir_version|graph)\s*[:{]", "a model as the text of a protobuf message",
     "write onnx.save(onnx.load(FILE, format='textproto'), 'model.onnx')"),
    (r'\s*\{\s*"(irVersion|graph|opsetImport)"', "a model as JSON",
     "write onnx.save(onnx.load(FILE, format='json'), 'model.onnx')"),
    (r'\s*\{\s*"base_code"', "a Paddle model (.json)", "convert it with paddle2onnx"),
    (r"\s*[\[{]", "JSON", _BEGINS),
    (r"7767517\b", "an ncnn model (.param)", _BACK),
    (r"tree\r?\nversion=", "a LightGBM model", "convert it with onnxmltools.convert_lightgbm"),
    (r"(name|layer|input)\s*[:{]", "a Caffe model's text (.prototxt)", _BACK),
)  # fmt: skip

_BY_NAME = {
    ".mlmodel": ("a Core ML model", _BACK),
    ".engine": ("a TensorRT engine", _BACK),
    ".plan": ("a TensorRT engine", _BACK),
    ".trt": ("a TensorRT engine", _BACK),
    ".caffemodel": ("a Caffe model", _BACK),
    ".nb": ("a Paddle Lite model", _BACK),
    ".pdiparams": ("a Paddle model's weights", "convert its folder with paddle2onnx"),
    ".mnn": ("an MNN model", _BACK),
    ".dlc": ("a model for Qualcomm's processors", _BACK),
}
"""What is told by its name alone, where its bytes say nothing."""

_TF2ONNX = "python -m tf2onnx.convert"
_UNKNOWN = "is not an ONNX model, or the file is damaged or cut short"


def lookalike(data: bytes, path: Path) -> str:
    """Return the rest of ``"FILE ..."``: what a file is that is no ONNX model, or what has become of it.

    Args: path: of the file, whose name and neighbours say what its bytes do not.
    """
    return instead(data, path) or _damage(data)


def instead(data: bytes, path: Path) -> str:
    """Return ``"is a web page, not an ONNX model: ..."`` where something tells what a file is, else an empty string."""
    found = _text(data) or _message(data) or _weights_of(path) or _BY_NAME.get(path.suffix.lower())
    return f"is {found[0]}, not an ONNX model: {found[1]}" if found else ""


def _text(data: bytes) -> tuple[str, str] | None:
    try:
        text = data[:_SAMPLE].decode("utf-8-sig", errors="strict" if len(data) <= _SAMPLE else "ignore")
    except UnicodeDecodeError:
        return None
    if not text or any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text[:4096]):
        return None
    known = next((said for pattern, *said in _TEXTS if re.match(pattern, text, re.IGNORECASE)), None)
    what, advice = known or ("a text file", _BEGINS)
    return what, advice.format(text.strip()[:60])


def _message(data: bytes) -> tuple[str, str] | None:
    """Other messages of protobuf, which ONNX's own reader does not tell from a model."""
    if _is_tensor(data):
        return "an ONNX tensor (what a model takes or gives)", "name the model's file, of which it is an example"
    if data.startswith(b"\x08\x01\x12") and b"serve" in data:
        where = f"{_TF2ONNX} --saved-model FOLDER --output model.onnx"
        return "a TensorFlow SavedModel's graph", f"convert the folder that it lies in: {where}"
    inner = next(_fields(data), None)
    if inner is None or data[:1] != b"\x0a":
        return None
    if re.match(rb"\x0a.[\w./-]+\x12.[A-Za-z]\w*", data[inner[1] : inner[1] + 512], re.DOTALL):
        return (
            "a frozen TensorFlow graph (.pb)",
            f"convert it: {_TF2ONNX} --graphdef FILE --output model.onnx",
        )
    if data.startswith(b"\x08\x00\x10\xff", inner[1]):
        return "a Paddle model (.pdmodel)", "convert its folder with paddle2onnx"
    return None


def _is_tensor(data: bytes) -> bool:
    try:
        tensor = onnx.TensorProto.FromString(data)
    except DecodeError:
        return False
    known = tensor.data_type in onnx.TensorProto.DataType.values() and tensor.data_type not in (0, 8)
    return known and tensor.HasField("raw_data") and len(tensor.raw_data) == tensor_bytes(tensor)


def _weights_of(path: Path) -> tuple[str, str] | None:
    """A model's weights in a file of their own say nothing themselves; the model beside them names them."""
    try:
        models = sorted(p for p in path.parent.glob("*.onnx") if p != path and p.stat().st_size < 1 << 26)[:16]
        owner = next((p for p in models if path.name.encode() in p.read_bytes()), None)
    except OSError:
        return None
    what = "" if owner is None else f"a file of weights of {owner.name!r}"
    return (what, "name that file, and leave this one beside it") if what else None


def _damage(data: bytes) -> str:
    if not any(data):
        return "is not an ONNX model: it holds zeros alone, its copy or download failed"
    for number, start, end in _fields(data):
        if end > len(data):
            what = "graph" if number == _GRAPH else f"field {number}"
            said = f"it ends {end - len(data):,} bytes before its {what} does"
            return f"{_UNKNOWN}: {said}, copy it again" if start > 2 else _unknown(data)
    return _unknown(data)


def _unknown(data: bytes) -> str:
    random = "; its bytes look random, as encrypted ones do" if _entropy(data[:_SAMPLE]) > _RANDOM else ""
    return _UNKNOWN + random


def _entropy(data: bytes) -> float:
    """Return the bits that a byte holds, by how often each value comes; 0 where there are too few to tell."""
    if len(data) < 8192:
        return 0.0
    shares = (count / len(data) for count in Counter(data).values())
    return -sum(share * math.log2(share) for share in shares)


def _fields(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field of a protobuf message, as far as they are a model's."""
    at = 0
    while at < len(data):
        tag, start = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not 1 <= number <= 30 or kind not in (0, 2):
            return
        value, after = _varint(data, start)
        if after == start:
            return
        start, end = (after, after + value) if kind == 2 else (start, after)
        yield number, start, end
        at = end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number as protobuf writes it and where it ends; the same place where none stands there."""
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    return 0, at
