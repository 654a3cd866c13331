#!/usr/bin/env bash
# Squeeze with an empty list of axes: one half of the ONNX world takes none away, the other takes all.
#
# Versions: onnxruntime 1.32.0 (CPU), onnx 1.23.2, numpy 2.4.6.
#
# Guess: an empty list says "no axes", so nothing is squeezed; only a missing second input means "all of size 1".
#
# Seen: x of shape (1, 2, 1), axes an initializer of shape (0,):
#   onnx shape inference           [1, 2, 1]
#   onnx reference evaluator       (1, 2, 1)
#   onnxruntime, declared output   [1, 2, 1]
#   onnxruntime, the value itself  (2,)
# onnxruntime squeezes all axes, with and without optimisations, and its own get_outputs() says otherwise
# (it only logs a warning).
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
from onnx.reference import ReferenceEvaluator

ort.set_default_logger_severity(3)
x = np.zeros((1, 2, 1), np.float32)
source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 1])
target = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c"])
axes = numpy_helper.from_array(np.zeros(0, np.int64), "axes")
graph = helper.make_graph([helper.make_node("Squeeze", ["x", "axes"], ["y"])], "g", [source], [target], [axes])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model, full_check=True)

inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph.output[0]
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
shapes = {
    "onnx shape inference": tuple(d.dim_value for d in inferred.type.tensor_type.shape.dim),
    "onnx reference evaluator": ReferenceEvaluator(model).run(None, {"x": x})[0].shape,
    "onnxruntime, declared output": tuple(session.get_outputs()[0].shape),
    "onnxruntime, the value itself": session.run(None, {"x": x})[0].shape,
}
for name, shape in shapes.items():
    print(f"{name}: {shape}")
if list(shapes.values()) != [(1, 2, 1)] * 3 + [(2,)]:
    sys.exit("no longer so: the four do not differ as they did")
PROGRAM
