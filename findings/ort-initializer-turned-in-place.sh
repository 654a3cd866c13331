#!/usr/bin/env bash
# A weight that is shared with a session by SessionOptions.add_initializer is not the one that the optimised graph wants:
# where a Transpose moves past an Add, ONNX Runtime turns the weight of the graph in place, under its old name, and the
# session then takes the caller's array for it. With equal sides that is another sum, without a word.
#
# Versions: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6.
#
# Guess: an array given for a weight of the same numbers changes nothing but where these lie; or the optimiser leaves
# alone what is given so; or the session refuses an array that is not as the graph has it by then.
#
# Seen: transpose(transpose(x) + w) with w of [n, m], largest difference from NumPy:
#   n = m, weight in the file, or given by add_external_initializers   0
#   n = m, given by add_initializer                                    above 1, no error
#   n = m, the same with all optimisations off                         0
#   n != m, given by add_initializer                                   an error at the first run
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

OFF = ort.GraphOptimizationLevel.ORT_DISABLE_ALL


def difference(n: int, m: int, way: str, level: ort.GraphOptimizationLevel | None = None) -> float | str:
    w, x = (np.random.default_rng(0).normal(size=shape).astype(np.float32) for shape in ((1, n, m), (1, m, n)))
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Add", ["t", "w"], ["a"]),
        helper.make_node("Transpose", ["a"], ["y"], perm=[0, 2, 1]),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, m, n])] for name in "xy"]
    weight, options, value = numpy_helper.from_array(w, "w"), ort.SessionOptions(), ort.OrtValue.ortvalue_from_numpy(w)
    options.log_severity_level = 4
    if way == "add_external_initializers":
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=w.shape, data_location=TensorProto.EXTERNAL)
        for key, text in (("location", "elsewhere"), ("offset", "0"), ("length", str(w.nbytes))):
            entry = weight.external_data.add()
            entry.key, entry.value = key, text
        options.add_external_initializers(["w"], [value])
    if way == "add_initializer":
        options.add_initializer("w", value)
    if level is not None:
        options.graph_optimization_level = level
    made = helper.make_graph(nodes, "g", *ends, [weight])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    try:
        y = session.run(None, {"x": x})[0]
    except Exception as error:
        return type(error).__name__
    return float(np.abs(y - (x + w.transpose(0, 2, 1))).max())


seen = {
    "n = m, in the file": difference(8, 8, ""),
    "n = m, add_external_initializers": difference(8, 8, "add_external_initializers"),
    "n = m, add_initializer": difference(8, 8, "add_initializer"),
    "n = m, add_initializer, nothing optimised": difference(8, 8, "add_initializer", OFF),
    "n != m, in the file": difference(8, 6, ""),
    "n != m, add_initializer": difference(8, 6, "add_initializer"),
}
for name, value in seen.items():
    print(f"{name:42} {value}")
given, other = seen.pop("n = m, add_initializer"), seen.pop("n != m, add_initializer")
if any(value != 0 for value in seen.values()) or not isinstance(other, str) or isinstance(given, str) or given < 1:
    sys.exit("no longer so: see above")
PROGRAM
