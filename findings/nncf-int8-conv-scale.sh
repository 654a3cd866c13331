#!/usr/bin/env bash
# A Conv whose weight NNCF stores as int8 passes the full check of onnx and fails in ONNX Runtime.
#
# Versions: nncf 3.4.0, onnx 1.23.2, onnxruntime 1.32.0 (CPU), openvino 2026.4.0, numpy 2.4.6.
#
# Guess: nncf.compress_weights of an ONNX model writes DequantizeLinear as the standard has it: one scale per
# output channel in a list, axis=0. It does so for a MatMul. If it did not, onnx.checker with full_check would say so.
#
# Seen: for a Conv of 96 channels, axis=0 and w_scale of shape [96, 1, 1] (asymmetric: w_zero_point too). The full
# check passes. onnxruntime makes a session of it and raises in the first run, with and without optimisations:
#   "... running DequantizeLinear node. Name:'w_DequantizeLinear' ..."
# For a MatMul the scale is a list, [96], and the file runs.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true NNCF_CI=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'nncf==3.4.0' 'openvino==2026.4.0' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import logging
import sys

import nncf
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

logging.disable(logging.CRITICAL)
ort.set_default_logger_severity(4)
random = np.random.default_rng(0)
SHAPES = {"Conv": ([96, 3, 3, 3], [1, 3, 8, 8], [1, 96, 6, 6]), "MatMul": ([128, 96], [1, 128], [1, 96])}


def network(operator: str) -> onnx.ModelProto:
    weight, source, target = SHAPES[operator]
    node = helper.make_node(operator, ["x", "w"], ["y"])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", source), ("y", target))]
    tensor = numpy_helper.from_array(random.normal(size=weight).astype(np.float32), "w")
    graph = helper.make_graph([node], "g", values[:1], values[1:], [tensor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def outcome(model: onnx.ModelProto, operator: str, optimise: bool) -> str:
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    try:
        session.run(None, {"x": np.ones(SHAPES[operator][1], np.float32)})
    except Exception as error:  # noqa: BLE001
        return str(error)
    return "runs"


rows = {}
for operator in SHAPES:
    for mode in (nncf.CompressWeightsMode.INT8_SYM, nncf.CompressWeightsMode.INT8_ASYM):
        model = nncf.compress_weights(network(operator), mode=mode)
        onnx.checker.check_model(model, full_check=True)
        shapes = {t.name: list(t.dims) for t in model.graph.initializer}
        outcomes = [outcome(model, operator, optimise) for optimise in (True, False)]
        rows[operator, mode] = (len(shapes["w_scale"]), [text[:4] == "runs" for text in outcomes])
        print(f"{operator}, {mode.value}: {shapes}, full check passes")
        print("  " + "\n  ".join(text[:160] for text in outcomes))
expected = {"Conv": (3, [False, False]), "MatMul": (1, [True, True])}
if any(found != expected[operator] for (operator, _), found in rows.items()):
    sys.exit("no longer so: the scale of a Conv is a list, or is refused, or runs")
PROGRAM
