"""Values that a file both measures and quantises: the scores beside a gradient stay those of the file."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import onnxsal

R = np.random.default_rng(0)
CONSTANTS = {
    "k": R.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), "w": R.normal(size=(256, 3)).astype(np.float32),
    "s": np.float32(0.02), "z": np.int8(3), "ws": np.float32(0.01), "wz": np.int8(0), "s2": np.float32(0.1),
    "z2": np.int8(-5), "first": np.array([0]), "rest": np.array([-1]),
}  # fmt: skip
X = R.normal(size=(8, 3, 8, 8)).astype(np.float32)


def node(op: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=output, **attributes)


def flattened(batch: int | str, measured: str) -> onnx.ModelProto:
    """x.view(x.size(0), -1) behind a quantised convolution, as quantisers leave it."""
    nodes = [
        node("QuantizeLinear", "x s z", "xq"), node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "k ws wz", "kd"), node("Conv", "xd kd", "c", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "c s2 z2", "cq"), node("DequantizeLinear", "cq s2 z2", "cd"),
        node("Shape", measured, "shape"), node("Gather", "shape first", "rows"),
        node("Concat", "rows rest", "target", axis=0), node("Reshape", "cd target", "f"), node("MatMul", "f w", "y"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", 1, [batch, 3])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in CONSTANTS.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def scores(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(run.run(["y"], feeds)[0])


@pytest.mark.parametrize("measured", ["c", "cd"])
@pytest.mark.parametrize("batch", ["b", 1])
def test_scores_are_those_of_the_file(batch: int | str, measured: str) -> None:
    model = flattened(batch, measured)
    x = X[: batch if isinstance(batch, int) else None]
    wanted = scores(model, {"x": x})
    made = onnxsal.gradient(model, of=["y"], wrt=["x"])
    np.testing.assert_array_equal(scores(made, {"x": x, "seed/y": np.ones_like(wanted)}), wanted)
    loaded = onnxsal.load(model, preprocess="raw")
    compiled = onnxsal.compile(loaded, method="grad-cam")
    np.testing.assert_array_equal(scores(compiled, {"x": x}), wanted)
    odds = np.exp(wanted[0] - wanted[0].max())
    assert onnxsal.explain(loaded, X[0], method="grad-cam", target=1).score == pytest.approx(
        odds[1] / odds.sum(), rel=1e-5
    )
