"""What is done to the sums of integer kernels while they are integers: a bias in whole steps, moves, refusals.

Older dynamic quantisers add a convolution's bias as int32; where that ended the gradient a residual network kept only
what its shortcuts carry, and no one was told.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from checker import run_ort
from onnx import TensorProto, helper, numpy_helper

import onnxsal.autodiff as autodiff
from onnxsal.errors import UnsupportedError

R = np.random.default_rng(5)
W = R.integers(-9, 9, (4, 6)).astype(np.int8)
KERNEL = R.integers(0, 30, (4, 3, 3, 3)).astype(np.uint8)
I32 = TensorProto.INT32


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def model(middle: list[onnx.NodeProto], shape: tuple[int, ...], **constants: np.ndarray) -> onnx.ModelProto:
    """``middle`` leads from the integers ``i`` of the kernel to the integers ``m``."""
    kernel = node("ConvInteger", "q w z wz", "i") if len(shape) == 4 else node("MatMulInteger", "q w z", "i")
    nodes = [node("DynamicQuantizeLinear", "x", "q s z"), kernel, *middle,
             node("Cast", "m", "f", to=TensorProto.FLOAT), node("Mul", "f s", "y")]  # fmt: skip
    held = {"w": KERNEL if len(shape) == 4 else W, "wz": np.uint8(11), **constants}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def gradient(proto: onnx.ModelProto, x: np.ndarray, seed: np.ndarray) -> np.ndarray:
    graph = autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"])
    return np.asarray(run_ort(graph, {"x": x, "seed/y": seed})["grad/x"])


BIAS = np.array([[7, -3, 40, 0, 1, -25]], np.int32)
ROWS = np.array([-1, 3], np.int64)
MOVES: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray], Any]] = {
    "nothing": ([node("Identity", "i", "m")], {}, lambda y: y),
    "a bias": ([node("Add", "i b", "m")], {"b": BIAS}, lambda y: y),
    "a bias in front": ([node("Add", "b i", "m")], {"b": BIAS}, lambda y: y),
    "taken from a bias": ([node("Sub", "b i", "m")], {"b": BIAS}, lambda y: -y),
    "its opposite": ([node("Neg", "i", "m")], {}, lambda y: -y),
    "twice": ([node("Add", "i i", "m")], {}, lambda y: 2 * y),
    "a shape": ([node("Reshape", "i r", "m")], {"r": ROWS}, lambda y: y.reshape(-1, 3)),
    "an axis more": ([node("Unsqueeze", "i r", "m")], {"r": np.array([0])}, lambda y: y[None]),
    "turned": ([node("Transpose", "i", "m", perm=[1, 0])], {}, lambda y: y.T),
    "a piece": ([node("Slice", "i a b c", "m")], {k: np.array([n]) for k, n in (("a", 1), ("b", 5), ("c", 1))},
                lambda y: y[:, 1:5]),
    "two halves": ([node("Split", "i", "u v", axis=1), node("Sub", "u v", "m")], {}, lambda y: y[:, :3] - y[:, 3:]),
    "beside itself": ([node("Concat", "i i", "m", axis=1)], {}, lambda y: np.concatenate([y, y], 1)),
    "summed": ([node("ReduceSum", "i r", "m", keepdims=0)], {"r": np.array([1])}, lambda y: y.sum(1)),
    "a bias and moved": (
        [node("Add", "i b", "k"), node("Transpose", "k", "l", perm=[1, 0]), node("Flatten", "l", "m", axis=0)],
        {"b": BIAS}, lambda y: y.T.reshape(1, -1)),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_the_gradient_is_that_of_the_linear_operator(name: str) -> None:
    """Straight through, y is linear in x: what unit vectors give is the Jacobian."""
    middle, constants, plain = MOVES[name]
    proto, x = model(middle, (2, 4), **constants), R.normal(size=(2, 4)).astype(np.float32)
    seed = R.normal(size=run_ort(proto, {"x": x})["y"].shape).astype(np.float32)
    units = np.eye(8).reshape(8, 2, 4)
    expected = [float((plain(unit @ W.astype(np.float64)) * seed).sum()) for unit in units]
    np.testing.assert_allclose(gradient(proto, x, seed).ravel(), expected, rtol=1e-4, atol=1e-4)


def test_a_convolution_with_its_bias_in_steps() -> None:
    """As onnxruntime 1.5 and before wrote them: the bias over both scales, rounded down, as int32."""
    middle = [node("Div", "b s", "t"), node("Floor", "t", "u"), node("Cast", "u", "v", to=I32),
              node("Reshape", "v r", "k"), node("Add", "i k", "m")]  # fmt: skip
    shape = np.array([1, 4, 1, 1], np.int64)
    with_bias = model(middle, (1, 3, 5, 5), b=R.normal(size=4).astype(np.float32), r=shape)
    without = model([node("Identity", "i", "m")], (1, 3, 5, 5))
    x, seed = R.normal(size=(1, 3, 5, 5)).astype(np.float32), R.normal(size=(1, 4, 3, 3)).astype(np.float32)
    found = gradient(with_bias, x, seed)
    np.testing.assert_allclose(found, gradient(without, x, seed), rtol=1e-5, atol=1e-5)
    corner = ((KERNEL[:, :, 0, 0].astype(np.float64) - 11) * seed[0, :, 0, 0, None]).sum(0)
    np.testing.assert_allclose(found[0, :, 0, 0], corner, rtol=1e-4)


REFUSED = {
    "Mul": [node("Mul", "i b", "m")],
    "Relu": [node("Relu", "i", "m")],
    "Cast": [node("Cast", "i", "m", to=TensorProto.INT64)],
    "Max": [node("Max", "i b", "m")],
}


@pytest.mark.parametrize("operator", REFUSED)
def test_what_has_no_rule_for_integers_is_named_and_not_left_out(operator: str) -> None:
    proto = model(REFUSED[operator], (2, 4), b=BIAS)
    with pytest.raises(UnsupportedError, match=rf"{operator}.*on integers, no rule"):
        autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"])


def test_counts_and_shapes_are_no_sums() -> None:
    """Integers that come from elsewhere go by themselves, as ever."""
    head = '<ir_version: 8, opset_import: ["" : 17]> g (float[2, 4] x) => (float[4, 2] y) '
    text = "{ s = Shape (x) one = Constant <value_ints = [1, 0]> () t = Gather (s, one) y = Reshape (x, t) }"
    proto = onnx.parser.parse_model(head + text)
    found = gradient(proto, np.ones((2, 4), np.float32), np.arange(8, dtype=np.float32).reshape(4, 2))
    np.testing.assert_array_equal(found, np.arange(8, dtype=np.float32).reshape(2, 4))
