#!/usr/bin/env bash
# A valid file that quantises an activation per channel loads and fails when it is run.
#
# Versions: onnxruntime 1.32.0 (CPU), onnx 1.23.2, numpy 2.4.6.
#
# Guess: fusing quantising nodes around a Conv is an optimisation; where the fused operator cannot express what the
# file says (its x_scale must be one number), the nodes stay as they are and the file runs in float.
#
# Seen: QuantizeLinear/DequantizeLinear of the input with axis=1 (three scales), Conv, a quantised output:
#   default optimisations     loads; each run raises: ... while running QLinearConv node ...
#                             IsScalarOr1ElementVector(X_zero_point) was false.
#   without optimisations     runs
#   output not quantised      runs with both
# An error of the first run, not of loading: a check that only makes a session passes.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(4)
CONSTANTS = {
    "w": np.random.default_rng(0).integers(-100, 100, (4, 3, 3, 3)).astype(np.int8),
    "w_scale": np.array(0.01, np.float32),
    "w_zero": np.array(0, np.int8),
    "x_scale": np.array([0.02, 0.03, 0.04], np.float32),
    "x_zero": np.full(3, 128, np.uint8),
    "y_scale": np.array(0.05, np.float32),
    "y_zero": np.array(128, np.uint8),
}


def network(quantised_output: bool) -> bytes:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"], axis=1),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"], axis=1),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"]),
    ]
    if quantised_output:
        nodes += [helper.make_node("QuantizeLinear", ["c", "y_scale", "y_zero"], ["cq"])]
        nodes += [helper.make_node("DequantizeLinear", ["cq", "y_scale", "y_zero"], ["y"])]
    else:
        nodes += [helper.make_node("Identity", ["c"], ["y"])]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 5, 5])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 3, 3])
    tensors = [numpy_helper.from_array(v, k) for k, v in CONSTANTS.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [source], [target], tensors),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def outcome(quantised_output: bool, optimise: bool) -> str:
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    session = ort.InferenceSession(network(quantised_output), options, providers=["CPUExecutionProvider"])
    try:
        y = session.run(None, {"x": np.ones((1, 3, 5, 5), np.float32)})[0]
    except Exception as error:  # noqa: BLE001
        return "loads, then: " + str(error).split("onnxruntime::common::Status")[0]
    return f"runs, mean {y.mean():.3f}"


found = []
for quantised_output in (True, False):
    for optimise in (True, False):
        text = outcome(quantised_output, optimise)
        found.append(text.startswith("runs"))
        name = "quantised" if quantised_output else "float"
        print(f"{name} output, {'default' if optimise else 'no'} optimisations: {text}")
if found != [False, True, True, True]:
    sys.exit("no longer so: scales per channel of an activation run")
PROGRAM
