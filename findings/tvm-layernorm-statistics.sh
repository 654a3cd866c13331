#!/usr/bin/env bash
# LayerNormalization's second and third output, the mean and 1 / deviation, are the number 0 in TVM.
#
# Versions: apache-tvm 0.27.0.post1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6.
#
# Guess: an importer that has the first output alone refuses a graph in which the others are read.
#
# Seen: of the row 1 3, whose mean is 2 and whose deviation is 1, (x - mean) / deviation by the outputs
#   onnxruntime   -1 1
#   TVM            0 0
# Nothing is said at import. What training or a gradient writes beside a LayerNormalization reads these outputs.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'apache-tvm==0.27.0.post1' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]> g (float[1, 2] x) => (float[1, 2] y)
    <float[2] ones = {1, 1}>
    { n, mean, inverse = LayerNormalization <axis = -1, epsilon = 0.0> (x, ones)
      centred = Sub (x, mean) y = Mul (centred, inverse) }""")
onnx.checker.check_model(model, full_check=True)
x = np.array([[1, 3]], np.float32)
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
(right,) = session.run(None, {"x": x})
made = tvm.compile(from_onnx(model, shape_dict={"x": [1, 2]}), target="llvm")
found = relax.VirtualMachine(made, tvm.cpu())["main"](tvm.runtime.tensor(x)).numpy()
print("onnxruntime", right.tolist())
print("TVM", found.tolist())
if right.tolist() != [[-1, 1]] or found.tolist() != [[0, 0]]:
    sys.exit("no longer so: the statistics are others")
PROGRAM
