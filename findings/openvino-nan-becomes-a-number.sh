#!/usr/bin/env bash
# OpenVINO's element-wise operators turn NaN into a number; the next check finds nothing wrong.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: NaN goes through arithmetic and activations, so that a NaN anywhere is a NaN in the end.
#
# Seen: x = NaN
#                  onnxruntime   openvino
#   Relu           NaN           0
#   Clip(0, 1)     NaN           0
#   Max(x, 1)      NaN           1
#   Cast to bool   True          False
#   Sigmoid        NaN           NaN
# A broken picture or an overflow gives ordinary scores there, where onnxruntime gives NaN.
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


x, one, nought = np.array([np.nan], np.float32), np.array(1, np.float32), np.array(0, np.float32)
cases = {
    "Relu": (["x"], {}), "Clip": (["x", "nought", "one"], {}), "Max": (["x", "one"], {}),
    "Cast": (["x"], {"to": onnx.TensorProto.BOOL}), "Sigmoid": (["x"], {}),
}
table = {}
for operator, (inputs, attributes) in cases.items():
    held = {key: value for key, value in (("one", one), ("nought", nought)) if key in inputs}
    data = model(helper.make_node(operator, inputs, ["y"], **attributes), {"x": x}, held, 21)
    table[operator] = tuple(str(run(data, {"x": x})[0].reshape(-1)[0]) for run in (in_onnxruntime, in_openvino))
    print(operator, dict(zip(("onnxruntime", "openvino"), table[operator], strict=True)))
wanted = {
    "Relu": ("nan", "0.0"), "Clip": ("nan", "0.0"), "Max": ("nan", "1.0"), "Cast": ("True", "False"), "Sigmoid": ("nan", "nan"),
}
if table != wanted:
    sys.exit("no longer so: NaN becomes something else")
PROGRAM
