#!/usr/bin/env bash
# The version converter throws away the functions of a model and keeps the calls.
#
# Versions: onnx 1.23.2 (its version converter, checker), onnxruntime 1.32.0 (CPU), numpy 2.4.6.
#
# Guess: a model with local functions (what the dynamo exporter of PyTorch or onnxscript writes) is converted with
# its functions, or the converter says that it cannot.
#
# Seen: convert_version from 18 to 20 returns a model with no functions and the same calling node, without a word.
# onnx.checker with full_check passes it, for a node of a domain that it does not know could be anybody's. Only
# the runtime notices: "my:Double(-1) is not a registered function/op".
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
from onnx import TensorProto, helper, version_converter

ort.set_default_logger_severity(4)
imports = [helper.make_opsetid("", 18), helper.make_opsetid("my", 1)]
function = helper.make_function("my", "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], imports[:1])
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [3])
graph = helper.make_graph([helper.make_node("Double", ["x"], ["y"], domain="my")], "g", [value("x")], [value("y")])
older = helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=8)
newer = version_converter.convert_version(older, 20)


def outcome(model: onnx.ModelProto) -> str:
    onnx.checker.check_model(model, full_check=True)
    try:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001
        return str(error)
    return f"runs: {session.run(None, {'x': np.ones(3, np.float32)})[0]}"


for name, model in (("opset 18", older), ("converted to 20", newer)):
    print(f"{name}: {len(model.functions)} function(s), checker passes, {outcome(model)}")
if len(newer.functions) or not outcome(older).startswith("runs") or "not a registered" not in outcome(newer):
    sys.exit("no longer so: functions are converted, or refused")
PROGRAM
