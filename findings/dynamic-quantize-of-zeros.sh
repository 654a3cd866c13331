#!/usr/bin/env bash
# The scale of a black picture: DynamicQuantizeLinear of zeros has three answers.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: the formula, scale = (max - min) / 255, gives 0 and then 0 / 0; implementations either share a convention
# for that or give NaN.
#
# Seen: x = 0 0 0
#                         y       scale
#   onnxruntime           0 0 0   1
#   openvino              0 0 0   0
#   reference evaluator   0 0 0   0.0039   (1 / 255)
# The bytes agree, so that nobody notices until something divides by the scale.
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


x = np.zeros(3, np.float32)
data = model(helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "scale", "zero"]), {"x": x}, {}, 21)
scales = {}
for name, run in (("onnxruntime", in_onnxruntime), ("openvino", in_openvino), ("reference", in_reference)):
    y, scale, zero = run(data, {"x": x})
    scales[name] = round(float(scale), 4)
    print(f"{name}: y {y}, scale {scales[name]}, zero point {zero}")
    if y.any():
        sys.exit("no longer so: the bytes are not 0")
if scales != {"onnxruntime": 1.0, "openvino": 0.0, "reference": 0.0039}:
    sys.exit("no longer so: other scales")
PROGRAM
