#!/usr/bin/env bash
# ConvTranspose with auto_pad and output_shape: OpenVINO's picture lies one step to the side.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: SAME_UPPER puts the odd one of the padding at the end, SAME_LOWER at the beginning, for every operator with
# auto_pad.
#
# Seen: one row of 9 values, kernel 3, stride 2, output_shape 18: one column of 19 has to go
#                 SAME_UPPER              SAME_LOWER
#   onnxruntime   columns 0 to 17 stay    1 to 18
#   reference     0 to 17                 1 to 18
#   openvino      1 to 18                 1 to 18
# Without output_shape the three agree.
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


x, w = (np.random.default_rng(1).normal(size=shape).astype(np.float32) for shape in ((1, 1, 9), (1, 1, 3)))
full = np.zeros(19, np.float32)
for i, value in enumerate(x[0, 0]):
    full[2 * i : 2 * i + 3] += value * w[0, 0]
table = {}
for pad in ("SAME_UPPER", "SAME_LOWER"):
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], auto_pad=pad, strides=[2], output_shape=[18])
    data = model(node, {"x": x}, {"w": w}, 21)
    for name, run in (("onnxruntime", in_onnxruntime), ("openvino", in_openvino), ("reference", in_reference)):
        y = run(data, {"x": x})[0].reshape(-1)
        table[name, pad] = next((start for start in (0, 1) if np.allclose(y, full[start : start + 18], atol=1e-5)), None)
        print(f"{name}, {pad}: columns {table[name, pad]} to {table[name, pad] + 17}")
wrong = {key for key, start in table.items() if start != (key[1] == "SAME_LOWER")}
if wrong != {("openvino", "SAME_UPPER")}:
    sys.exit(f"no longer so: {wrong} lie elsewhere")
PROGRAM
