#!/usr/bin/env bash
# RoiAlign with mode max: the maximum of interpolated values in one runtime, of weighted corners in the others.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: a bin is the maximum of its sampling points, each interpolated bilinearly, as mode avg is their mean; with
# one sampling point a bin both modes are that one point.
#
# Seen: a map that is 1 everywhere, one region, 2 x 2 bins, one sampling point a bin
#                mode avg   mode max
#   openvino        1       1
#   onnxruntime     1       0.7656 0.5469 0.5469 0.3906
#   reference       1       0.7656 0.5469 0.5469 0.3906
# onnxruntime takes the largest of the four corners *times its weight*, before they are added up; the reference
# evaluator was made to agree. A constant map does not stay constant.
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


x, rois = np.ones((1, 1, 8, 8), np.float32), np.array([[0.5, 0.5, 5.0, 5.0]], np.float32)
constants = {"rois": rois, "index": np.zeros(1, np.int64)}
table = {}
for mode in ("avg", "max"):
    node = helper.make_node(
        "RoiAlign", ["x", "rois", "index"], ["y"], mode=mode, output_height=2, output_width=2, sampling_ratio=1,
    )
    data = model(node, {"x": x}, constants, 16)
    for name, run in (("onnxruntime", in_onnxruntime), ("openvino", in_openvino), ("reference", in_reference)):
        table[name, mode] = run(data, {"x": x})[0].reshape(-1)
        print(name, mode, np.round(table[name, mode], 4))
constant = {key for key, y in table.items() if np.allclose(y, 1)}
if constant != {("onnxruntime", "avg"), ("reference", "avg"), ("openvino", "avg"), ("openvino", "max")}:
    sys.exit("no longer so: others keep a constant map")
PROGRAM
