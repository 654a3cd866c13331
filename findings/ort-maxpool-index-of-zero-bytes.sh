#!/usr/bin/env bash
# Up to ONNX Runtime 1.28 MaxPool of unsigned bytes has no place for a window of zeros: its index lies before the window.
#
# Versions: onnxruntime 1.28.0, onnx 1.23.2, numpy 2.4.6.
#
# Guess: the second output of MaxPool is the place of a maximum whatever the numbers are; all equal, the first one's.
#
# Seen: x uint8 of shape (1, 2, 2, 2), all 0 but x[0, 1, 1, 1] = 5, kernel 2 x 2: values 0 and 5, indices -3 and 7. By
# onnxruntime 1.32.0 they are 0 and 7.
# A rectifier leaves many such windows in quantised models. What gathers or scatters by the index then goes to another
# place, or from the end: in silence, since negative indices count from there.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnxruntime==1.28.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

node = helper.make_node("MaxPool", ["x"], ["y", "at"], kernel_shape=[2, 2])
value = helper.make_tensor_value_info
graph = helper.make_graph(
    [node], "g", [value("x", TensorProto.UINT8, [1, 2, 2, 2])],
    [value("y", TensorProto.UINT8, [1, 2, 1, 1]), value("at", TensorProto.INT64, [1, 2, 1, 1])],
)
made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(made, full_check=True)
x = np.zeros((1, 2, 2, 2), np.uint8)
x[0, 1, 1, 1] = 5
values, places = (each.ravel().tolist() for each in ort.InferenceSession(made.SerializeToString()).run(None, {"x": x}))
print(f"values {values}, indices {places}")
if values != [0, 5] or places[0] >= 0 or places[1] != 7:
    sys.exit(f"no longer so: {values}, {places}")
PROGRAM
