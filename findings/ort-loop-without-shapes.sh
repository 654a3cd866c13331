#!/usr/bin/env bash
# Loop needs the shape of two inputs of its body that the standard fixes, and says so only when it runs.
#
# Versions: onnxruntime 1.32.0 (CPU), onnx 1.23.2, numpy 2.4.6.
#
# Guess: shapes in value infos are hints. The first two inputs of a Loop's body (the number of the iteration and the
# condition) are single numbers by the standard, so leaving their shapes out changes nothing; a wrong shape is
# refused.
#
# Seen: shapes written for iteration and condition (the state's is never written):
#   [] and []        runs
#   [1] and [1]      runs, with the same numbers
#   none and []      loads; each run raises: loop.cc:466 Initialize Loop subgraph input 0 has unknown shape: i
#   [] and none      loads; each run raises: loop.cc:468 Initialize Loop subgraph input 1 has unknown shape: c
# onnx.checker passes all four with full_check. A tool that strips inferred shapes breaks such a file.
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

ort.set_default_logger_severity(4)


def outcome(iteration: list[int] | None, condition: list[int] | None) -> str:
    nodes = [helper.make_node("Identity", ["c"], ["c_out"]), helper.make_node("Add", ["s", "one"], ["s_out"])]
    kinds = {"i": (TensorProto.INT64, iteration), "c": (TensorProto.BOOL, condition), "s": (TensorProto.FLOAT, None)}
    inputs = [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_out", *kinds[name]) for name in "cs"]
    body = helper.make_graph(nodes, "body", inputs, outputs)
    loop = helper.make_node("Loop", ["count", "", "x"], ["y"], body=body)
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    constants = {"count": np.array(3), "one": np.array(1, np.float32)}
    tensors = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph([loop], "g", [source], [target], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    try:
        return f"runs: {session.run(None, {'x': np.zeros(2, np.float32)})[0]}"
    except Exception as error:  # noqa: BLE001
        return f"loads, then: {error}"


pairs = [([], []), ([1], [1]), (None, []), ([], None)]
texts = [outcome(*pair) for pair in pairs]
for pair, text in zip(pairs, texts):
    print(f"iteration {pair[0]}, condition {pair[1]}: {text}")
if [text == "runs: [3. 3.]" for text in texts] != [True, True, False, False]:
    sys.exit("no longer so: shapes left out do not matter, or a wrong one does")
PROGRAM
