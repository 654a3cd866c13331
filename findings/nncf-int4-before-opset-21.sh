#!/usr/bin/env bash
# NNCF's 4-bit weights depend on the opset of the file: standard nodes at 21, a private and half broken one before.
#
# Versions: nncf 3.4.0, onnx 1.23.2, onnxruntime 1.32.0 (CPU), openvino 2026.4.0, numpy 2.4.6.
#
# Guess: nncf.compress_weights(mode=INT4_...) raises an older file to opset 21, where 4-bit types exist, or refuses
# it. INT4 is asked for, so every MatMul gets 4 bits, and what comes out passes onnx.checker and runs.
#
# Seen: three MatMuls of 128 x 128, group_size 32:
#   opset 21, both modes          DequantizeLinear with block_size; check passes; runs
#   opset 20, symmetric           MatMulNBits of com.microsoft; check: No opset import for domain 'com.microsoft'; runs
#   opset 20, asymmetric          the same, and onnxruntime refuses to load it: zero_points initializer shape {128,4}
#                                 does not match attribute-derived shape [256] or [128,2]
# It writes one zero point a byte where the operator wants two. In all four the last MatMul has 8 bits.
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


def network(opset: int) -> onnx.ModelProto:
    names = ["x", "a", "b", "y"]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(3)]
    tensors = [numpy_helper.from_array(random.normal(size=(128, 128)).astype(np.float32), f"w{i}") for i in range(3)]
    source, target = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 128]) for n in "xy")
    graph = helper.make_graph(nodes, "g", [source], [target], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def checked(model: onnx.ModelProto) -> str:
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        return str(error).splitlines()[0]
    return "check passes"


def outcome(model: onnx.ModelProto) -> str:
    try:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001
        return str(error)
    session.run(None, {"x": np.ones((1, 128), np.float32)})
    return "runs"


found = []
for opset in (21, 20):
    for mode in (nncf.CompressWeightsMode.INT4_SYM, nncf.CompressWeightsMode.INT4_ASYM):
        model = nncf.compress_weights(network(opset), mode=mode, group_size=32)
        last = next(t for t in model.graph.initializer if t.name == "w2_quantized")
        row = (model.graph.node[0].op_type, TensorProto.DataType.Name(last.data_type), checked(model), outcome(model))
        print(f"opset {opset}, {mode.value}: {', last weight '.join(row[:2])}; " + "; ".join(row[2:]))
        found.append((row[0], row[1], row[2] == "check passes", row[3] == "runs"))
standard, private = ("DequantizeLinear", "UINT8", True, True), ("MatMulNBits", "UINT8", False, True)
if found != [standard, standard, private, (*private[:3], False)]:
    sys.exit("no longer so: what is written before opset 21 passes the check, or loads, or has 4 bits throughout")
PROGRAM
