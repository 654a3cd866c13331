#!/usr/bin/env bash
# ScatterElements with reduction "add" overwrites in MNN: the sum at a place is the last that goes there.
#
# Versions: MNN 3.6.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6.
#
# Guess: the attribute reduction (opset 16) is read, or a converter that does not know it says so.
#
# Seen: zeros of four places, 1, 2 and 4 added at 1, 3 and 1
#   onnxruntime   0 5 0 2
#   MNN           0 4 0 2
# Nothing is said at conversion. Overlapping max pools and gathers from one place twice have such a sum in their gradient.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'MNN==3.6.1' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import _tools  # the converter itself: the script mnnconvert installs a package and reports to its makers
import MNN
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

x, places = np.array([1, 2, 4], np.float32), np.array([1, 3, 1])
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size]) for name, size in (("x", 3), ("y", 4))]
held = [numpy_helper.from_array(np.zeros(4, np.float32), "zeros"), numpy_helper.from_array(places, "places")]
node = helper.make_node("ScatterElements", ["zeros", "places", "x"], ["y"], axis=0, reduction="add")
graph = helper.make_graph([node], "g", ends[:1], ends[1:], held)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "scatter.onnx")
(right,) = ort.InferenceSession("scatter.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})
_tools.mnnconvert("mnnconvert -f ONNX --modelFile scatter.onnx --MNNModel scatter.mnn --bizCode x".split())
module = MNN.nn.load_module_from_file("scatter.mnn", ["x"], ["y"])
found = module.forward([MNN.expr.const(x, [3], MNN.expr.NCHW, MNN.expr.float)])[0].read()
print("onnxruntime", right.tolist())
print("MNN", found.tolist())
if right.tolist() != [0, 5, 0, 2] or found.tolist() != [0, 4, 0, 2]:
    sys.exit("no longer so: the sum is another")
PROGRAM
