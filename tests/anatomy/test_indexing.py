"""Constant indices that hold the batch of the file: a batch that is tried does not fit them, and is not taken."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.errors import ModelError

R = np.random.default_rng(4)
X = R.normal(size=(1, 3, 8, 8)).astype(np.float32)
FIRST = np.stack(np.meshgrid([0], np.arange(3), [1, 2], indexing="ij"), -1)  # of one picture: channels, two rows
CORNER = np.zeros((1, 2, 2, 3), np.int64)
CORNER[..., :] = [1, 0, 2]
PLACES = {
    "ScatterND": ({"i": FIRST}, [("Gather", "x rows", "u", {"axis": 2}), ("ScatterND", "x i u", "m", {})]),
    "ScatterElements": (
        {"i": CORNER, "v": R.normal(size=CORNER.shape).astype(np.float32)},
        [("ScatterElements", "x i v", "m", {"axis": 3})],
    ),
    "GatherElements": ({"i": CORNER}, [("GatherElements", "x i", "m", {"axis": 3})]),
    "GatherND": ({"i": FIRST}, [("GatherND", "x i", "m", {})]),
}


def model_of(operator: str) -> onnx.ModelProto:
    """A picture whose elements are moved by constant indices, a convolution and three classes."""
    constants, nodes = PLACES[operator]
    channels = 2 if operator == "GatherElements" else 3
    held = {**constants, "rows": np.array([5, 6]), "w": R.normal(size=(4, channels, 1, 1)).astype(np.float32),
            "d": R.normal(size=(4, 3)).astype(np.float32)}  # fmt: skip
    rest = [("Conv", "m w", "a", {}), ("Relu", "a", "b", {}), ("GlobalAveragePool", "b", "p", {}),
            ("Flatten", "p", "f", {}), ("MatMul", "f d", "y", {})]  # fmt: skip
    made = [helper.make_node(op, i.split(), [o], **how) for op, i, o, how in [*nodes, *rest]]
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [1, 3, 8, 8]), ("y", [1, 3]))]
    tensors = [numpy_helper.from_array(v, k) for k, v in held.items()]
    graph = helper.make_graph(made, "g", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("operator", PLACES)
def test_a_file_of_one_picture_keeps_its_batch(operator: str) -> None:
    model = model_of(operator)
    found = onnxsal.explain(onnxsal.load(model, task="classification"), X[0], method="gradient", target=1)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    v = R.normal(size=X.shape).astype(np.float32)
    up, down = (float(session.run(None, {"x": X + step * v})[0][0, 1]) for step in (1e-3, -1e-3))
    assert (found.raw * v[0]).sum() == pytest.approx((up - down) / 2e-3, rel=2e-2, abs=1e-3)


@pytest.mark.parametrize("axis", [4, -9])
def test_an_axis_that_is_none_is_one_of_our_errors(axis: int) -> None:
    model = model_of("GatherElements")
    model.graph.node[0].attribute[0].i = axis
    with pytest.raises(ModelError, match=r"the model cannot be run: .*GatherElements"):
        onnxsal.explain(onnxsal.load(model, task="classification"), X[0], method="gradient", target=1)
