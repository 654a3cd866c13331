#!/usr/bin/env bash
# A DFT of a real signal has one axis more in OpenVINO than anywhere else.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: [batch, signal, 1] (real) becomes [batch, bins, 2]; where a runtime reads the operator it keeps the rank,
# which the file's own shape inference has written down.
#
# Seen: x of shape (1, 16, 1), opset 20, axis 1, onesided
#   onnxruntime, reference evaluator   (1, 9, 2)
#   openvino                           (1, 9, 1, 2), the same 18 numbers
# Without onesided, and as STFT, openvino gives the standard's shape: only the one-sided form is off, and what
# indexes the last axis but one behind it takes the wrong axis.
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


x = np.random.default_rng(1).normal(size=(1, 16, 1)).astype(np.float32)
shapes, values = {}, {}
for onesided in (0, 1):
    node = helper.make_node("DFT", ["x", "", "axis"], ["y"], onesided=onesided)
    data = model(node, {"x": x}, {"axis": np.array(1)}, 20)
    for name, run in (("onnxruntime", in_onnxruntime), ("openvino", in_openvino), ("reference", in_reference)):
        y = run(data, {"x": x})[0]
        shapes[name, onesided], values[name, onesided] = y.shape, y.reshape(-1)
        print(f"{name}, onesided={onesided}: {y.shape}")
frame = {"frame_step": np.array(4), "frame_length": np.array(8)}
node = helper.make_node("STFT", ["x", "frame_step", "", "frame_length"], ["y"], onesided=1)
data = model(node, {"x": x}, frame, 17)
stft = {run(data, {"x": x})[0].shape for run in (in_onnxruntime, in_openvino)}
print("STFT:", stft)
wanted = {(name, k): (1, (16, 9)[k], 2) for name in ("onnxruntime", "openvino", "reference") for k in (0, 1)}
wanted["openvino", 1] = (1, 9, 1, 2)
same = all(np.allclose(values[name, 1], values["onnxruntime", 1], atol=1e-4) for name in ("openvino", "reference"))
if shapes != wanted or not same or len(stft) != 1:
    sys.exit("no longer so: other shapes")
PROGRAM
