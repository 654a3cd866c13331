#!/usr/bin/env bash
# A sparse initializer is in the standard; of three readers only ONNX Runtime reads it.
#
# Versions: onnx 1.23.2, onnx-ir 1.1.0, onnxruntime 1.32.0 (CPU), numpy 2.4.6.
#
# Guess: GraphProto.sparse_initializer has been in the format since IR 6; a library that loads a model and writes
# it back keeps it, and onnx itself can check and evaluate it.
#
# Seen: Add of the input and a sparse initializer of 4 values, two of them set:
#   onnxruntime                   runs, right
#   onnx.checker                  passes; with full_check: "B typestr: T, has unsupported type: sparse_tensor(float)"
#   onnx's reference evaluator    ValueError: Protocol message SparseTensorProto has no "data_location" field.
#   onnx_ir from_proto, to_proto  the initializer is gone and its reader stays; the log blames the model ("The model
#                                 is invalid but we will still create a new input for the node"); nothing is raised
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx-ir==1.1.0' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnx_ir
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

ort.set_default_logger_severity(4)
x = np.zeros(4, np.float32)
values = numpy_helper.from_array(np.array([5, 7], np.float32), "w")
sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([1, 3]), "places"), [4])
source, target = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in "xy")
node = helper.make_node("Add", ["x", "w"], ["y"])
graph = helper.make_graph([node], "g", [source], [target], sparse_initializer=[sparse])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model)


def attempt(action) -> str:
    try:
        return str(action())
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def run(proto: onnx.ModelProto) -> np.ndarray:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


back = onnx_ir.to_proto(onnx_ir.from_proto(model))
rows = {
    "onnxruntime": attempt(lambda: run(model)),
    "full check": attempt(lambda: onnx.checker.check_model(model, full_check=True)),
    "reference evaluator": attempt(lambda: ReferenceEvaluator(model).run(None, {"x": x})),
    "onnx_ir there and back": f"{len(back.graph.sparse_initializer) + len(back.graph.initializer)} initializers",
    "onnxruntime after that": attempt(lambda: run(back)),
}
for name, row in rows.items():
    print(f"{name}: {row}")
right = ["[0. 5. 0. 7.]", "InferenceError", "ValueError", "0 initializers", "InvalidArgument"]
if not all(row.startswith(start) for row, start in zip(rows.values(), right)):
    sys.exit("no longer so: another of them reads a sparse initializer, or onnxruntime does not")
PROGRAM
