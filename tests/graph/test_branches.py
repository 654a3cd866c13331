"""Branches: an If that shapes decide gives way to the branch that can be, and to none where both can."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.graph import normalise, to_proto
from onnxsal.graph.files import load_ir

SQUEEZED = """
    two = Constant <value_ints: ints = [2]> ()
    s = Shape (y)  t = Gather (s, two)  one = Constant <value_ints: ints = [1]> ()  c = Equal (t, one)
    z = If (c) <
      then_branch: graph = yes () => (float[] u) { axis = Constant <value_ints: ints = [2]> ()  u = Squeeze (y, axis) },
      else_branch: graph = no () => (float[] v) { v = Identity (y) }
    >
"""
"""Written by PyTorch's tracing exporter for ``y.squeeze(2)`` where that axis is open."""


def parsed(
    body: str, inputs: str = "float[batch, 3, sequence] x, float[4, 3, 5] w", weights: str = ""
) -> onnx.ModelProto:
    head = f'<ir_version: 10, opset_import: ["" : 21]> g ({inputs}) => (float[] out) {weights}'
    return onnx.parser.parse_model(head + "{" + body + "}")


def run(model: onnx.ModelProto, **feeds: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(["out"], feeds)[0]


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in normalise(load_ir(model)).graph]


CONV = "y = Conv <strides = [3]> (x, w) "
FOLLOWED = {
    "Gemm": "out = Gemm (z, m)",
    "unsqueezed, LSTM": "k = Constant <value_ints: ints = [0]> () f = Unsqueeze (z, k) "
    "all, out, cell = LSTM <hidden_size = 2> (f, lw, lr)",
}
WEIGHTS = "float[4, 2] m, float[1, 8, 4] lw, float[1, 8, 2] lr"


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_follows_decides_between_numbers_of_dimensions(name: str) -> None:
    model = parsed(CONV + SQUEEZED + FOLLOWED[name], f"float[batch, 3, sequence] x, float[4, 3, 5] w, {WEIGHTS}")
    assert "If" not in operators(model)
    rng = np.random.default_rng(0)
    shapes = {"x": (2, 3, 6), "w": (4, 3, 5), "m": (4, 2), "lw": (1, 8, 4), "lr": (1, 8, 2)}
    feeds = {k: rng.normal(size=shape).astype(np.float32) for k, shape in shapes.items()}
    y = run(model, **feeds)
    np.testing.assert_array_equal(run(to_proto(normalise(load_ir(model))), **feeds), y)
    seed, direction, h = rng.normal(size=y.shape).astype("f"), rng.normal(size=(2, 3, 6)).astype("f"), 1e-2
    session = onnxruntime.InferenceSession(onnxsal.gradient(model, of=["out"], wrt=["x"]).SerializeToString())
    (g,) = session.run(["grad/x"], {**feeds, "seed/out": seed})
    high, low = (run(model, **{**feeds, "x": feeds["x"] + s * h * direction}) for s in (1, -1))
    assert float((g * direction).sum()) == pytest.approx(float((seed * (high - low)).sum()) / (2 * h), rel=1e-2)


@pytest.mark.parametrize(
    "last", ["out = Relu (z)", "axes = Constant <value_ints: ints = [-1]> () out = ReduceMax (z, axes)"]
)
def test_where_both_branches_can_be_the_runtime_chooses(last: str) -> None:
    model = parsed(CONV + SQUEEZED + last)
    assert "If" in operators(model)
    normal = to_proto(normalise(load_ir(model)))
    w = np.random.default_rng(1).normal(size=(4, 3, 5)).astype(np.float32)
    for size in (6, 9):
        x = np.random.default_rng(size).normal(size=(2, 3, size)).astype(np.float32)
        np.testing.assert_array_equal(run(normal, x=x, w=w), run(model, x=x, w=w))


def test_a_branch_for_one_image_stays_beside_that_for_several() -> None:
    body = """
        s = Shape <end = 1> (x)  one = Constant <value_ints: ints = [1]> ()  c = Equal (s, one)
        z = If (c) <
          then_branch: graph = yes () => (float[] u) { a = Constant <value_ints: ints = [0]> ()  u = Squeeze (x, a) },
          else_branch: graph = no () => (float[] v) { v = Identity (x) }
        >
        shape = Constant <value_ints: ints = [-1, 3]> ()  rows = Reshape (z, shape)  out = Gemm (rows, m)
    """
    model = parsed(body, "float[batch, 3] x, float[3, 2] m")
    normal = to_proto(normalise(load_ir(model)))
    m = np.random.default_rng(2).normal(size=(3, 2)).astype(np.float32)
    for count in (1, 2, 5):
        x = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
        np.testing.assert_array_equal(run(normal, x=x, m=m), run(model, x=x, m=m))


def test_a_branch_that_fails_at_some_sizes_alone_may_be_the_one() -> None:
    weights = "float[b, 3, s] x, float[4, 3, 5] w, float[7, 2] m"
    model = parsed(CONV + SQUEEZED + "out = MatMul (z, m)", weights)  # [b, 4] does not fit, [b, 4, 7] does
    assert "If" not in operators(model)
    rng = np.random.default_rng(3)
    feeds = {k: rng.normal(size=n).astype(np.float32) for k, n in (("x", (2, 3, 23)), ("w", (4, 3, 5)), ("m", (7, 2)))}
    np.testing.assert_array_equal(run(to_proto(normalise(load_ir(model))), **feeds), run(model, **feeds))
