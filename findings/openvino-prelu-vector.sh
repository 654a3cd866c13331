#!/usr/bin/env bash
# A PRelu whose slope is a vector goes along the last axis; in OpenVINO along the channels.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: the slope broadcasts as the standard says (unidirectionally, from the last axis): a slope of [3] on
# [1, 3, 3] stands for the last axis. Where it fits there, no runtime asks what else was meant.
#
# Seen: x of shape (1, 3, 3), all -1, slope [1, 2, 3]
#   onnxruntime, reference evaluator   every row is -1 -2 -3
#   openvino                           rows are -1 -1 -1, -2 -2 -2, -3 -3 -3
# Where the last axis has another length, openvino's reading is the only one that fits: files converted from
# frameworks with a slope a channel run there and fail elsewhere, square feature maps run everywhere and differ.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'openvino==2026.4.0' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime as ort
import openvino
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def model(node: onnx.NodeProto, feeds: dict[str, np.ndarray], constants: dict[str, np.ndarray], opset: int) -> bytes:
    values = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feeds.items()]
    held = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph([node], "g", values, [onnx.ValueInfoProto(name=name) for name in node.output], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    made = onnx.shape_inference.infer_shapes(made)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def in_onnxruntime(data: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feeds)


def in_openvino(data: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(list(feeds.values()))
    return [results[i] for i in range(len(compiled.outputs))]


def in_reference(data: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return ReferenceEvaluator(onnx.load_from_string(data)).run(None, feeds)


x, slope = np.full((1, 3, 3), -1, np.float32), np.array([1, 2, 3], np.float32)
data = model(helper.make_node("PRelu", ["x", "slope"], ["y"]), {"x": x}, {"slope": slope}, 16)
found = {
    "onnxruntime": in_onnxruntime(data, {"x": x})[0],
    "openvino": in_openvino(data, {"x": x})[0],
    "reference": in_reference(data, {"x": x})[0],
}
for name, y in found.items():
    print(name, y[0].tolist())
last, channels = x * slope, x * slope[:, None]
right = {"onnxruntime": last, "openvino": channels, "reference": last}
if not all(np.array_equal(found[name], right[name]) for name in found):
    sys.exit("no longer so: the axis is another")
PROGRAM
