"""Files that ONNX Runtime wrote for one processor are named as such, by the runtime's own hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.errors import UnsupportedError
from onnxsal.graph import load_ir
from onnxsal.graph.processor import check_processor


def network() -> onnx.ModelProto:
    """Return a classifier whose convolutions have the 16 channels that blocks of channels are made of."""
    rng = np.random.default_rng(0)
    held = {"w1": (16, 3, 3, 3), "w2": (16, 16, 3, 3)}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1] * 4), helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["b"], pads=[1] * 4), helper.make_node("GlobalAveragePool", ["b"], ["p"]),
        helper.make_node("Flatten", ["p"], ["z"]),
    ]  # fmt: skip
    weights = [numpy_helper.from_array(rng.normal(0, 0.3, size).astype("f"), name) for name, size in held.items()]
    x, z = helper.make_tensor_value_info("x", 1, ["n", 3, 16, 16]), helper.make_tensor_value_info("z", 1, ["n", 16])
    graph = helper.make_graph(nodes, "g", [x], [z], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def optimised(level: str, folder: Path) -> Path:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(folder / f"{level}.onnx")
    ort.InferenceSession(network().SerializeToString(), options, providers=["CPUExecutionProvider"])
    return folder / f"{level}.onnx"


def test_level_all_is_named_and_level_extended_is_read(tmp_path: Path) -> None:
    path = optimised("ALL", tmp_path)
    if not any(node.domain == "com.microsoft.nchwc" for node in onnx.load(path).graph.node):
        pytest.skip("ONNX Runtime has no layout of its own on this processor")
    said = r"one processor \(optimisation level 'all'\): \d of its operators, com.microsoft.nchwc.\w+ .*'extended'"
    with pytest.raises(UnsupportedError, match=said):
        onnxsal.load(path)
    with pytest.raises(UnsupportedError, match=said):
        onnxsal.gradient(path, of=["z"], wrt=["x"])
    assert onnxsal.load(optimised("EXTENDED", tmp_path)).task.size == 16


@pytest.mark.parametrize(
    ("domain", "op_type", "said"),
    [
        ("com.ms.internal.nhwc", "Conv", "channels last, as one execution provider takes it"),
        ("com.microsoft.nchwc", "ReorderInput", "blocks of channels"),
        ("com.microsoft", "EPContext", "an execution provider compiled this file .EPContext 'c'"),
    ],
)
def test_other_layouts_and_compiled_parts(domain: str, op_type: str, said: str) -> None:
    x, y = (helper.make_tensor_value_info(name, 1, ["n", 3, 4, 4]) for name in "xy")
    node = helper.make_node(op_type, ["x"], ["y"], name="c", domain=domain)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    with pytest.raises(UnsupportedError, match=said):
        check_processor(load_ir(helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets)))
