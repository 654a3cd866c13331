#!/usr/bin/env bash
# Three implementations of LRN (local response normalization) give three answers.
#
# Versions: onnx 1.23.2 (its reference evaluator), onnxruntime 1.32.0, openvino 2026.4.0, numpy 2.4.6.
#
# Guess: LRN is as old as AlexNet and has one formula, y = x / (bias + alpha / size * sum over neighbouring
# channels of x^2) ^ beta; implementations differ in the last digits.
#
# Seen: one picture of 6 channels, size 3, alpha 1, beta 0.75; largest error against the formula:
#                          bias 0.5   bias 1    bias 1.5   bias 2
#   onnxruntime            2.4e-07    1.2e-07   1.2e-07    6.0e-08
#   openvino               2.3        6.0e-08   0.17       6.0e-08
#   reference evaluator    1.1        0.45      0.25       0.17
# openvino truncates the bias to a whole number (0.5 becomes 0). The reference evaluator walks over the pictures
# of the batch where it should walk over channels: with one picture, only channel 0 gets a sum.
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
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

x = np.random.default_rng(1).normal(size=(1, 6, 2, 2)).astype(np.float32)
squares = [(x[:, max(0, i - 1) : i + 2] ** 2).sum(1) for i in range(6)]


def errors(bias: float) -> dict[str, float]:
    right = np.stack([x[:, i] / (bias + squares[i] / 3) ** 0.75 for i in range(6)], axis=1)
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, list(x.shape))
    node = helper.make_node("LRN", ["x"], ["y"], size=3, alpha=1.0, beta=0.75, bias=bias)
    graph = helper.make_graph([node], "g", [value("x")], [value("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(data), "CPU")
    found = {
        "onnxruntime": ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0],
        "openvino": compiled([x])[0],
        "reference evaluator": ReferenceEvaluator(model).run(None, {"x": x})[0],
    }
    return {name: float(np.abs(y - right).max()) for name, y in found.items()}


table = {bias: errors(bias) for bias in (0.5, 1.0, 1.5, 2.0)}
for name in table[1.0]:
    print(f"{name}: " + ", ".join(f"bias {bias} error {row[name]:.2g}" for bias, row in table.items()))
wrong = {name: [bias for bias, row in table.items() if row[name] > 1e-3] for name in table[1.0]}
if wrong != {"onnxruntime": [], "openvino": [0.5, 1.5], "reference evaluator": [0.5, 1.0, 1.5, 2.0]}:
    sys.exit("no longer so: the three are wrong at other values")
PROGRAM
