#!/usr/bin/env bash
# MaxPool with SAME_LOWER: the reference evaluator's picture is smaller than its own shape inference says.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: SAME_LOWER and SAME_UPPER give ceil(length / stride) and differ in where the odd one of the padding goes;
# AveragePool shares the code.
#
# Seen: 9 values, kernel 3, stride 2: 5 windows by the standard and by onnx's shape inference
#                         SAME_UPPER   SAME_LOWER
#   onnxruntime           5            5
#   reference MaxPool     5            4
#   reference AveragePool 5            5
# With stride 1 nothing is seen of it.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
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


def in_reference(data: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return ReferenceEvaluator(onnx.load_from_string(data)).run(None, feeds)


x = np.random.default_rng(1).normal(size=(1, 1, 9)).astype(np.float32)
lengths = {}
for operator in ("MaxPool", "AveragePool"):
    for pad in ("SAME_UPPER", "SAME_LOWER"):
        node = helper.make_node(operator, ["x"], ["y"], kernel_shape=[3], strides=[2], auto_pad=pad)
        data = model(node, {"x": x}, {}, 21)
        shape = onnx.load_from_string(data).graph.output[0].type.tensor_type.shape
        lengths["inferred", operator, pad] = shape.dim[2].dim_value
        lengths["onnxruntime", operator, pad] = in_onnxruntime(data, {"x": x})[0].shape[2]
        lengths["reference", operator, pad] = in_reference(data, {"x": x})[0].shape[2]
for key, length in lengths.items():
    print(*key, length)
if {key for key, length in lengths.items() if length != 5} != {("reference", "MaxPool", "SAME_LOWER")}:
    sys.exit("no longer so: other lengths")
PROGRAM
