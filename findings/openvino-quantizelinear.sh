#!/usr/bin/env bash
# OpenVINO rounds after it has added the zero point, and int16 wraps round instead of stopping at its ends.
#
# Versions: openvino 2026.4.0, onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: QuantizeLinear is saturate(round(x / scale) + zero_point), halves to even, in every runtime: int8 files
# are compared bit for bit by it.
#
# Seen: scale 1; onnxruntime and the reference evaluator follow the formula, openvino does not
#   x = -1.5 -0.5 0.5 1.5 2.5, uint8, zero point 3   formula 1 3 3 5 5    openvino 2 2 4 4 6
#   the same, zero point 4                            formula 2 4 4 6 6    openvino the same
#   x = -60000 60000, int16                           formula -32768 32767 openvino 5536 -5536
# A half of a step is what averages of bytes and their like fall on; odd zero points are half of all.
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


halves, wide = np.array([-1.5, -0.5, 0.5, 1.5, 2.5], np.float32), np.array([-60000, 60000], np.float32)
cases = {
    "uint8, zero point 3": (halves, np.array(3, np.uint8)),
    "uint8, zero point 4": (halves, np.array(4, np.uint8)),
    "int16": (wide, np.array(0, np.int16)),
}
wrong = []
for name, (x, zero) in cases.items():
    limits = np.iinfo(zero.dtype)
    formula = np.clip(np.rint(x) + float(zero), limits.min, limits.max).astype(zero.dtype)
    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])
    data = model(node, {"x": x}, {"scale": np.array(1, np.float32), "zero": zero}, 21)
    found = [run(data, {"x": x})[0] for run in (in_onnxruntime, in_openvino, in_reference)]
    print(f"{name}: formula {formula}, onnxruntime {found[0]}, openvino {found[1]}, reference {found[2]}")
    if not (np.array_equal(found[0], formula) and np.array_equal(found[2], formula)):
        sys.exit("no longer so: another one differs from the formula")
    wrong += [] if np.array_equal(found[1], formula) else [name]
if wrong != ["uint8, zero point 3", "int16"]:
    sys.exit(f"no longer so: openvino is wrong at {wrong}")
PROGRAM
