"""float16 on a runtime without kernels for it: it computes on in float32, and the compiled file as the file itself."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsal

R = np.random.default_rng(0)
X = np.random.default_rng(2).normal(size=(1, 3, 12, 12)).astype(np.float16)


def network() -> onnx.ModelProto:
    held = {"w": (16, 3, 3, 3), "v": (16, 16, 3, 3), "u": (5, 16, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4), helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["c"], pads=[1] * 4), helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "u"], ["e"]), helper.make_node("GlobalAveragePool", ["e"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]), helper.make_node("Softmax", ["f"], ["y"]),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT16, s) for n, s in (("x", X.shape), ("y", [1, 5]))]
    tensors = [numpy_helper.from_array(R.normal(0, 0.4, s).astype(np.float16), k) for k, s in held.items()]
    graph = helper.make_graph(nodes, "half", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(("method", "layer"), [("gradient", None), ("grad-cam", None), ("grad-cam", "b")])
def test_it_rounds_where_the_file_does(method: str, layer: str | None) -> None:
    """Its output is the file's, and its map that of ``explain``: read from between, values would be rounded once more.

    Shared with the branch, the same maps differed by 2e-4 to 4e-4.
    """
    proto = network()
    deployed = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": X})
    model = onnxsal.load(proto)
    file = onnxsal.compile(model, method=method, layer=layer)
    session = ort.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    y, saliency = session.run(["y", "saliency"], {"x": X})
    np.testing.assert_array_equal(y, deployed[0])
    explained = onnxsal.explain(model, X[0], method=method, layer=layer)
    np.testing.assert_allclose(saliency[0], explained.saliency, atol=1e-5)
