#!/usr/bin/env bash
# The reference evaluator reads a RoiAlign of opset 10 as one of 16: regions lie half a pixel to the side.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: RoiAlign got coordinate_transformation_mode in opset 16, with half_pixel as default; a file of opset 10 has
# the old mapping (output_half_pixel), and an evaluator that chooses implementations by opset knows it.
#
# Seen: a map whose value is the column, one region from column 1 to 5, one bin, 2 x 2 sampling points
#                         opset 10   opset 16
#   onnxruntime           3          2.5
#   openvino              3          2.5
#   reference evaluator   2.5        2.5
# Detectors are exported at opset 11 as a rule.
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


x = np.tile(np.arange(8, dtype=np.float32), (1, 1, 8, 1))
constants = {"rois": np.array([[1, 1, 5, 5]], np.float32), "index": np.zeros(1, np.int64)}
table = {}
for opset in (10, 16):
    node = helper.make_node("RoiAlign", ["x", "rois", "index"], ["y"], output_height=1, output_width=1, sampling_ratio=2)
    data = model(node, {"x": x}, constants, opset)
    for name, run in (("onnxruntime", in_onnxruntime), ("openvino", in_openvino), ("reference", in_reference)):
        table[name, opset] = float(run(data, {"x": x})[0].reshape(-1)[0])
        print(f"{name}, opset {opset}: {table[name, opset]:.4g}")
wanted = {(name, opset): 3.0 if opset == 10 else 2.5 for name, opset in table} | {("reference", 10): 2.5}
if any(abs(table[key] - wanted[key]) > 1e-4 for key in table):
    sys.exit("no longer so: the region lies elsewhere")
PROGRAM
