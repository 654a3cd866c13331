"""What is told of files that no model is made of: their facts, why, and commands that serve them and run."""

from __future__ import annotations

import shlex

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError
from onnxsal.graph import load_ir
from onnxsal.model.file_report import gradients_of_file, inspect_file

TABLE = np.random.default_rng(0).normal(0, 1, (7, 3)).astype(np.float32)


def words() -> onnx.ModelProto:
    """Token ids in, one score a sequence out."""
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21], producer_name: "hand", producer_version: "3">
        g (int64[B, T] ids, int64 unread) => (float[B] s, int64[B] best)
        <int64[1] axis = {1}, int64[1] two = {2}>
        { rows = Gather (table, ids) t = Tanh (rows) q = Mul (t, t) a = ReduceSum <keepdims = 0> (q, two)
          s = ReduceSum <keepdims = 0> (a, axis) best = ArgMax <axis = 1, keepdims = 0> (a) }"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(TABLE, "table"))
    return proto


def test_weights_count_wherever_a_file_keeps_them() -> None:
    """In Constant nodes, as PaddlePaddle's exporter has them, in bodies and in functions as in initializers."""
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21, "f" : 1]> g (float[B, 2] x, bool c) => (float[B, 2] y)
        <float[2] held = {1, 2}>
        { w = Constant <value = float[3, 2] {1, 2, 3, 4, 5, 6}> ()  h = Gemm <transB = 1> (x, w)
          k = Constant <value_floats = [1., 2., 3.]> ()  i = Add (h, k)  j = f.half (i)
          n = If (c) <then_branch = a () => (float[B, 2] p)
            { t = Constant <value_ints = [0, 1]> () p = Gather <axis = 1> (j, t) },
                      else_branch = b () => (float[B, 2] q) { q = Identity (x) }>
          y = Add (n, held) }
        <domain: "f", opset_import: ["" : 21]> half (x) => (y)
        { z = Constant <value_float = 0.5> () y = Mul (x, z) }"""
    )
    known = inspect_file(load_ir(proto), "f.onnx", "")
    assert (known["parameters"], known["weight_bytes"]) == (2 + 6 + 3 + 2 + 1, 4 * (2 + 6 + 3 + 1) + 8 * 2)


def test_a_file_without_a_float_input_has_its_facts_told() -> None:
    known = inspect_file(load_ir(words()), "my words.onnx", "why not")
    assert (known["file"], known["why"], known["producer"], known["nodes"]) == ("my words.onnx", "why not", "hand 3", 6)
    assert known["parameters"] == TABLE.size + 2
    assert known["inputs"] == [
        {"name": "ids", "type": "int64", "shape": ["B", "T"]}, {"name": "unread", "type": "int64", "shape": []},
    ]  # fmt: skip
    assert [(each["name"], each["type"]) for each in known["outputs"]] == [("s", "float"), ("best", "int64")]
    assert known["operators"]["ReduceSum"] == 2
    assert known["works"] == [
        "onnxsal gradient 'my words.onnx' --of s --wrt rows -o gradient.onnx"
    ]  # fmt: skip


def test_the_command_gives_the_gradient_by_the_first_floats() -> None:
    parts = shlex.split(gradients_of_file(load_ir(words()), "m.onnx")[0])
    of, wrt = parts[parts.index("--of") + 1], parts[parts.index("--wrt") + 1]
    made = onnxsal.gradient(words(), of=[of], wrt=[wrt])
    ids = np.array([[0, 3, 5, 3]])
    feeds = {"ids": ids, "unread": np.array(0), f"seed/{of}": np.ones(1, np.float32)}
    (found,) = onnxruntime.InferenceSession(made.SerializeToString()).run([f"grad/{wrt}"], feeds)
    tanh = np.tanh(TABLE[ids])
    np.testing.assert_allclose(found, 2 * tanh * (1 - tanh**2), rtol=1e-5, atol=1e-6)


def test_a_refusal_names_what_works() -> None:
    """Counts are no ids: nothing looks them up."""
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (int64[B, 3] counts) => (float[B] s) <int64[1] axis = {1}>
        { floats = Cast <to = 1> (counts) t = Tanh (floats) s = ReduceSum <keepdims = 0> (t, axis) }"""
    )
    with pytest.raises(UnsupportedError, match=r"gradients can be written: onnxsal gradient MODEL --of s --wrt floats"):
        onnxsal.load(proto)


def test_where_nothing_is_float_nothing_is_promised() -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (int64[B, 3] x) => (int64[B, 3] y) { y = Add (x, x) }'
    )
    assert gradients_of_file(load_ir(proto), "m.onnx") == []
    with pytest.raises(UnsupportedError) as error:
        onnxsal.load(proto)
    assert "gradients can be written" not in str(error.value)


def test_what_is_no_tensor_is_named() -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (seq(float[N]) x) => (float[M] y) '
        "{ y = ConcatFromSequence <axis = 0> (x) }"
    )
    known = inspect_file(load_ir(proto), "m.onnx", "")
    assert (known["inputs"][0]["type"], known["inputs"][0]["name"]) == ("sequence", "x")
