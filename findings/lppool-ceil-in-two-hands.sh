#!/usr/bin/env bash
# LpPool with ceil_mode: the norm of a window that hangs over the edge, or that norm scaled up to a whole window.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: a norm is taken over what lies inside the window; what hangs over the edge adds nothing, as with MaxPool.
#
# Seen: x of shape (1, 1, 1, 3), all 3, kernel [1, 2], stride 2, ceil_mode=1, p=2, opset 18; the last window holds one 3
#   onnxruntime                     4.2426 3
#   openvino, reference evaluator   4.2426 4.2426   (a mean of what is inside, times the size of the window)
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


x = np.full((1, 1, 1, 3), 3, np.float32)
node = helper.make_node("LpPool", ["x"], ["y"], kernel_shape=[1, 2], strides=[1, 2], ceil_mode=1, p=2)
data = model(node, {"x": x}, {}, 18)
last = {}
for name, run in (("onnxruntime", in_onnxruntime), ("openvino", in_openvino), ("reference", in_reference)):
    y = run(data, {"x": x})[0].reshape(-1)
    last[name] = float(y[-1])
    print(name, np.round(y, 4))
if not np.allclose([last["onnxruntime"], last["openvino"], last["reference"]], [3, 18**0.5, 18**0.5], atol=1e-4):
    sys.exit("no longer so: the last window is another")
PROGRAM
