"""Tiny classifiers as ONNX models, each with a NumPy float64 twin that shares no code with onnxsal.

``TinyNet``: Conv, Relu (``a1``), Conv of stride 2, Relu (``a2``), Conv, Relu (``a3``), global average pooling, Gemm.
``linear``: one Gemm on the flat picture. Weights are drawn from a fixed seed.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from squeezenet64 import conv, conv_backward

Array = np.ndarray
SIDE, CHANNELS, CLASSES, WIDTHS, STRIDES = 12, 3, 5, (6, 7, 8), (1, 2, 1)


def image(seed: int = 0) -> Array:
    """A random picture [3, 12, 12], float32, with a bright blob so that maps are not alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    blob = np.exp(-((y - 4) ** 2 + (x - 7) ** 2) / 8)
    return (rng.normal(0, 0.5, (CHANNELS, SIDE, SIDE)) + 2 * blob).astype(np.float32)


class TinyNet:
    """Weights, the ONNX model, and the forward and backward pass in float64."""

    def __init__(self, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        sizes = zip((CHANNELS, *WIDTHS[:-1]), WIDTHS, strict=True)
        self.w = [rng.normal(0, 1.2 / np.sqrt(9 * i), (o, i, 3, 3)).astype(np.float32) for i, o in sizes]
        self.b = [rng.normal(0.1, 0.1, o).astype(np.float32) for o in WIDTHS]
        self.v = rng.normal(0, 1.5, (CLASSES, WIDTHS[-1])).astype(np.float32)
        self.c = rng.normal(0, 0.1, CLASSES).astype(np.float32)

    def model(self) -> onnx.ModelProto:
        """The ONNX model: ``x`` [N, 3, 12, 12] to ``logits`` [N, 5]."""
        nodes, weights, value = [], {"v": self.v, "c": self.c}, "x"
        for i, (w, b) in enumerate(zip(self.w, self.b, strict=True), 1):
            weights |= {f"w{i}": w, f"b{i}": b}
            nodes += [
                helper.make_node(
                    "Conv", [value, f"w{i}", f"b{i}"], [f"z{i}"], pads=[1] * 4, strides=[STRIDES[i - 1]] * 2
                ),
                helper.make_node("Relu", [f"z{i}"], [f"a{i}"]),
            ]
            value = f"a{i}"
        nodes += [
            helper.make_node("GlobalAveragePool", [value], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "v", "c"], ["logits"], transB=1),
        ]
        return _model(nodes, weights)

    def forward(self, x: Array) -> dict[str, Array]:
        """Every value of one picture by name, and ``probabilities``."""
        values = {"x": np.asarray(x, np.float64)}
        below = values["x"]
        for i, (w, b) in enumerate(zip(self.w, self.b, strict=True), 1):
            values[f"z{i}"] = conv(below, w.astype(float), b.astype(float), STRIDES[i - 1], 1)
            below = values[f"a{i}"] = np.maximum(values[f"z{i}"], 0)
        values["logits"] = self.v.astype(float) @ below.mean((1, 2)) + self.c
        powers = np.exp(values["logits"] - values["logits"].max())
        values["probabilities"] = powers / powers.sum()
        return values

    def gradients(self, x: Array, target: int, rules: str = "plain") -> dict[str, Array]:
        """The gradient of ``logits[target]`` with respect to x, a1, a2, a3; ``rules``: plain, guided or deconv."""
        values = self.forward(x)
        last, weights = values["a3"], self.v[target].astype(float)[:, None, None]
        grads = {"a3": np.broadcast_to(weights / last[0].size, last.shape)}
        for i in (3, 2, 1):
            g, z = grads[f"a{i}"], values[f"z{i}"]
            passed = g * (z > 0) if rules != "deconv" else g
            passed = passed if rules == "plain" else passed * (g > 0)
            below = "x" if i == 1 else f"a{i - 1}"
            grads[below] = conv_backward(passed, values[below], self.w[i - 1].astype(float), STRIDES[i - 1], 1)
        return grads

    def score(self, x: Array, target: int, kind: str) -> float:
        """The logit or the probability of a class."""
        return float(self.forward(x)["logits" if kind == "logit" else "probabilities"][target])


def linear_weights(seed: int = 5) -> Array:
    """[5, 3, 12, 12]."""
    return np.random.default_rng(seed).normal(0, 0.1, (CLASSES, CHANNELS, SIDE, SIDE)).astype(np.float32)


def linear() -> onnx.ModelProto:
    """One Gemm on the flat picture, with a bias of 0.25 for every class."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"], transB=1),
    ]
    return _model(nodes, {"w": linear_weights().reshape(CLASSES, -1), "b": np.full(CLASSES, 0.25, np.float32)})


def _model(nodes: list[onnx.NodeProto], weights: dict[str, Array]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", CHANNELS, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
