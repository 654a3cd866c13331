#!/usr/bin/env bash
# One of ONNX Runtime's two ways from a NumPy array to an OrtValue reads a transposed view in the order of its memory: the
# same shape, other numbers, no error. It is the way by which weights are handed to a session.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6.
#
# Guess: a transposed array becomes the same numbers, copied where it has to be, by OrtValue.ortvalue_from_numpy, by
# OrtValue.ortvalue_from_numpy_with_onnx_type, as a feed of InferenceSession.run, by io_binding's bind_cpu_input, and as
# an initializer given with SessionOptions.add_initializer; or whoever needs contiguous memory refuses it.
#
# Seen: of the transpose of [[0, 1, 2], [3, 4, 5]]:
#   ortvalue_from_numpy, run, bind_cpu_input   [[0, 3], [1, 4], [2, 5]], as asked for
#   ortvalue_from_numpy_with_onnx_type         [[0, 1], [2, 3], [4, 5]]
#   x + that value as an initializer, x = 0    [[0, 1], [2, 3], [4, 5]]
# np.ascontiguousarray in front of the call makes all of them equal.
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
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

VIEW = np.arange(6, dtype=np.float32).reshape(2, 3).T
Value = ort.OrtValue


def session(model: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def graph(node: object, *weights: object) -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 2]) for name in "xy")
    made = helper.make_graph([node], "g", [x], [y], list(weights))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


same = session(graph(helper.make_node("Identity", ["x"], ["y"])), ort.SessionOptions())
binding = same.io_binding()
binding.bind_cpu_input("x", VIEW)
binding.bind_output("y")
same.run_with_iobinding(binding)


def added(value: ort.OrtValue) -> np.ndarray:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 2], data_location=TensorProto.EXTERNAL)
    for key, text in (("location", "elsewhere"), ("offset", "0"), ("length", "24")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, text
    options = ort.SessionOptions()
    options.add_initializer("w", value)
    options.add_external_initializers(["w"], [value])
    return session(graph(helper.make_node("Add", ["x", "w"], ["y"]), weight), options).run(None, {"x": 0 * VIEW})[0]


typed = Value.ortvalue_from_numpy_with_onnx_type(VIEW, TensorProto.FLOAT)
whole = Value.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(VIEW), TensorProto.FLOAT)
seen = {
    "ortvalue_from_numpy": Value.ortvalue_from_numpy(VIEW).numpy(),
    "run": same.run(None, {"x": VIEW})[0],
    "bind_cpu_input": binding.copy_outputs_to_cpu()[0],
    "ortvalue_from_numpy_with_onnx_type": typed.numpy(),
    "as an initializer": added(typed),
    "of contiguous memory": whole.numpy(),
    "as an initializer, of contiguous memory": added(whole),
}
for name, value in seen.items():
    print(f"{name:42} {value.tolist()}")
asked, memory = VIEW.tolist(), np.arange(6, dtype=np.float32).reshape(3, 2).tolist()
wrong = {"ortvalue_from_numpy_with_onnx_type", "as an initializer"}
changed = [name for name, value in seen.items() if value.tolist() != (memory if name in wrong else asked)]
if changed:
    sys.exit(f"no longer so: {changed}")
PROGRAM
