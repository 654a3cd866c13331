"""Files without a sign of their own: other messages of protobuf, text, weights that lie outside, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxsal.errors import ModelError
from onnxsal.graph import load_ir


def model(weights: int = 5000) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, 1, ["n", weights]) for name in "xy")
    held = numpy_helper.from_array(np.random.default_rng(0).normal(0, 1, weights).astype(np.float32), "w")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [held])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


WHOLE = model().SerializeToString()
FIRST = helper.make_tensor_value_info("x", 1, [1])
SAVED = b"\x08\x01\x12\x10" + b"\x22\x05serve" + bytes(9)
NODE = b"\x0a\x05input\x12\x0bPlaceholder"
FROZEN = b"\x0a" + bytes([len(NODE)]) + NODE
LOOKALIKES = {
    "page.onnx": (b"\n<!DOCTYPE html><html><title>Sign in</title>", "is a web page.*not found, or to be signed in"),
    "error.onnx": (b'{"message": "Not Found"}', "is JSON.*it begins with '{\"message\": \"Not Found\"}'"),
    "denied.onnx": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>', "is XML.*AccessDenied"),
    "net.xml": (b'<?xml version="1.0"?>\n<net name="m" version="11">', "OpenVINO model"),
    "net.onnxtxt": (onnx.printer.to_text(model(2)).encode(), "ONNX's text form.*onnx.parser.parse_model"),
    "net.textproto": (str(model(2)).encode(), "text of a protobuf message.*format='textproto'"),
    "net.param": (b"7767517\n3 3\nInput data 0 1 x\n", "ncnn"),
    "net.txt": (b"tree\nversion=v4\nnum_class=1\n", "LightGBM"),
    "words.onnx": (b"hello, I am a model\n", "is a text file.*hello"),
    "input_0.pb": (numpy_helper.from_array(np.zeros((2, 3), np.float32)).SerializeToString(), "is an ONNX tensor"),
    "saved_model.pb": (SAVED, "TensorFlow SavedModel's graph.*--saved-model"),
    "frozen.pb": (FROZEN, "frozen TensorFlow graph.*--graphdef"),
    "net.pdmodel": (b"\x0a\x0b\x08\x00\x10" + b"\xff" * 8 + b"\x01", "Paddle model.*paddle2onnx"),
    "net.engine": (bytes(range(1, 99)), "TensorRT engine"),
    "zeros.onnx": (bytes(5000), "holds zeros alone, its copy or download failed"),
    "random.onnx": (np.random.default_rng(0).bytes(50_000), "bytes look random, as encrypted ones do"),
    "cut.onnx": (WHOLE[:-3000], "cut short: it ends 2,9.. bytes before its graph does"),
    "begun.onnx": (WHOLE[:3], "damaged or cut short"),
    "weights.raw": (np.random.default_rng(0).normal(0, 1, 20_000).astype("<f4").tobytes(), "cut short$"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKALIKES)
def test_files_without_a_sign(tmp_path: Path, name: str) -> None:
    data, said = LOOKALIKES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError, match=said):
        load_ir(tmp_path / name)


@pytest.mark.parametrize("name", ["m.onnx.data", "m.onnx_data", "weights.bin"])
def test_weights_beside_a_model_name_it(tmp_path: Path, name: str) -> None:
    onnx.save(model(), tmp_path / "m.onnx", save_as_external_data=True, location=name, size_threshold=9)
    with pytest.raises(ModelError, match=r"is a file of weights of 'm\.onnx', not an ONNX model: name that file"):
        load_ir(tmp_path / name)
    assert len(load_ir(tmp_path / "m.onnx").graph.initializers) == 1


def test_whole_models_are_read_whatever_they_are_called(tmp_path: Path) -> None:
    for name in ("net.pt", "net.engine", "net.txt", "net"):
        (tmp_path / name).write_bytes(WHOLE)
        assert len(load_ir(tmp_path / name).graph.initializers) == 1
