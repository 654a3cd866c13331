"""A file without its rounding: the deployed file at the input, the straight-through function around it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

TOOLS = Path(__file__).resolve().parents[2] / "tools"
F32 = TensorProto.FLOAT
X = np.array([[-3.0, -0.41, -0.02, 0.013, 0.27, 0.9, 1.31, 4.0]], np.float32)
STEP = np.float32(0.01)


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    sys.path.insert(0, str(TOOLS))
    try:
        yield importlib.import_module("straight")
    finally:
        sys.path.remove(str(TOOLS))


def model(nodes: list[tuple[Any, ...]], shape: list[int], **constants: np.ndarray) -> onnx.ModelProto:
    made = [helper.make_node(kind, a.split(), b.split(), **(rest[0] if rest else {})) for kind, a, b, *rest in nodes]
    graph = helper.make_graph(
        made, "g", [helper.make_tensor_value_info("x", F32, shape)], [helper.make_tensor_value_info("y", F32, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def run(tool: Any, proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    (y,) = tool.opened(proto).run(["y"], {"x": x})
    return np.asarray(y, np.float64)


def slopes(tool: Any, twin: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """Return d sum(y) / dx, by differences of each number."""
    found = np.zeros(x.size)
    for i in range(x.size):
        moved = np.zeros(x.size, x.dtype)
        moved[i] = STEP
        up, down = (run(tool, twin, x + sign * moved.reshape(x.shape)).sum() for sign in (1, -1))
        found[i] = (up - down) / (2 * float(STEP))
    return found.reshape(x.shape)


W = np.array([[3, -5], [7, 2], [-9, 4], [1, 1], [8, -3], [-2, 6], [5, 5], [-4, -7]], np.int8)


def test_a_product_of_bytes_becomes_one_of_numbers(tool: Any) -> None:
    nodes = [("DynamicQuantizeLinear", "x", "q s z"), ("MatMulInteger", "q w z wz", "i"),
             ("Cast", "i", "f", {"to": F32}), ("Mul", "s t", "st"), ("Mul", "f st", "y")]  # fmt: skip
    deployed = model(nodes, [1, 8], w=W, wz=np.int8(2), t=np.float32(0.1))
    twin = tool.straight(deployed, {"x": X})
    np.testing.assert_allclose(run(tool, twin, X), run(tool, deployed, X), rtol=1e-6, atol=1e-6)
    assert np.abs(run(tool, deployed, X) - X @ (0.1 * (W.astype(np.float64) - 2))).max() > 1e-3
    np.testing.assert_allclose(
        slopes(tool, twin, X), 0.1 * (W.astype(np.float64) - 2).sum(1)[None], rtol=1e-3, atol=1e-4
    )


def test_a_convolution_of_bytes_pads_with_nought(tool: Any) -> None:
    nodes = [("DynamicQuantizeLinear", "x", "q s z"), ("ConvInteger", "q w z", "i", {"pads": [1, 1]}),
             ("Cast", "i", "f", {"to": F32}), ("Mul", "f s", "y")]  # fmt: skip
    w = np.array([[[4, -2, 7]]], np.int8)
    deployed, x = model(nodes, [1, 1, 8], w=w), X[None]
    twin = tool.straight(deployed, {"x": x})
    np.testing.assert_allclose(run(tool, twin, x), run(tool, deployed, x), rtol=1e-5, atol=1e-5)
    expected = [4 - 2, *[9.0] * 6, -2 + 7]
    np.testing.assert_allclose(slopes(tool, twin, x).ravel(), expected, rtol=1e-3)


@pytest.mark.parametrize("ends", [False, True])
def test_what_a_quantiser_clips_does_not_move(tool: Any, ends: bool) -> None:
    """Steps of 0.01 from -1.28 to 1.27: -3, 1.31 and 4 are outside, 1.272 rounds to the last step."""
    nodes = [("QuantizeLinear", "x s z", "q"), ("DequantizeLinear", "q s z", "d"), ("Mul", "d d", "y")]
    deployed, x = model(nodes, [1, 8], s=np.float32(0.01), z=np.int8(0)), X.copy()
    x[0, 4] = 1.272
    twin = tool.straight(deployed, {"x": x}, ends=ends)
    np.testing.assert_allclose(run(tool, twin, x), run(tool, deployed, x), rtol=1e-6, atol=1e-7)
    rounded = np.rint(x.astype(np.float64) / 0.01) * 0.01
    expected = np.where((x < -1.28) | (x > (1.275 if ends else 1.265)), 0, 2 * rounded)
    np.testing.assert_allclose(slopes(tool, twin, x), expected, atol=1e-4)


def test_an_lstm_of_bytes_moves_like_the_one_of_numbers(tool: Any) -> None:
    rng = np.random.default_rng(0)
    w, r = (rng.integers(-90, 90, (1, n, 8)).astype(np.int8) for n in (4, 2))
    names = ["x", "w", "r", "b", "", "h", "c", "", "ws", "wz", "rs", "rz"]
    lstm = helper.make_node("DynamicQuantizeLSTM", names, ["", "y"], domain="com.microsoft", hidden_size=2)
    zero, wz, rz = np.zeros((1, 1, 2), np.float32), np.zeros(1, np.int8), np.zeros(1, np.int8)
    scale, b = np.array([0.01], np.float32), rng.normal(0, 0.2, (1, 16)).astype(np.float32)
    deployed = model([], [2, 1, 4], w=w, r=r, b=b, h=zero, c=zero, ws=scale, wz=wz, rs=scale, rz=rz)
    deployed.graph.node.append(lstm)
    x = X.reshape(2, 1, 4) * np.float32(0.5)
    plain = model([("LSTM", "x w r b  h c", "_ y", {"hidden_size": 2})], [2, 1, 4], b=b, h=zero, c=zero,
                  **{k: 0.01 * v.astype(np.float32).swapaxes(1, 2) for k, v in (("w", w), ("r", r))})  # fmt: skip
    plain.graph.node[0].input[:] = ["x", "w", "r", "b", "", "h", "c"]
    twin = tool.straight(deployed, {"x": x})
    np.testing.assert_allclose(run(tool, twin, x), run(tool, deployed, x), rtol=1e-5, atol=1e-6)
    assert np.abs(run(tool, plain, x) - run(tool, deployed, x)).max() > 1e-4
    np.testing.assert_allclose(slopes(tool, twin, x), slopes(tool, plain, x), rtol=1e-3, atol=1e-4)
