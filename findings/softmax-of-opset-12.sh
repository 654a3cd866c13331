#!/usr/bin/env bash
# Softmax of opset 12 and before: one runtime sums over all the axes behind, the other over one.
#
# Versions: onnx 1.23.2 (its reference evaluator), onnxruntime 1.32.0, openvino 2026.4.0, numpy 2.4.6.
#
# Guess: an operator means what its opset says. Up to opset 12, Softmax with axis=a flattens the input to two
# axes at a (default 1) and normalises each row; from 13 on it normalises along one axis (default -1). At least
# the reference evaluator, which chooses an implementation by opset, knows both.
#
# Seen: x of shape (2, 3, 4), axis=1, opset 12: sum of all outputs (rows times one, each adding up to 1)
#   onnxruntime            2    (2 rows of 12)
#   openvino               8    (8 rows of 3, as in opset 13)
#   reference evaluator    8
# Largest difference 0.55. With axis on the last axis all agree, which is why image classifiers hide it.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'openvino==2026.4.0' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime as ort
import openvino
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
flat = np.exp(x.reshape(2, 12))
right = (flat / flat.sum(1, keepdims=True)).reshape(x.shape)


def outputs(axis: int) -> dict[str, np.ndarray]:
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, list(x.shape))
    node = helper.make_node("Softmax", ["x"], ["y"], axis=axis)
    graph = helper.make_graph([node], "g", [value("x")], [value("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(data), "CPU")
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return {
        "onnxruntime": session.run(None, {"x": x})[0],
        "openvino": compiled([x])[0],
        "reference evaluator": ReferenceEvaluator(model).run(None, {"x": x})[0],
    }


first, last = outputs(1), outputs(2)
for name, y in first.items():
    print(f"axis=1, {name}: sums to {y.sum():.3f}, differs from the flattened one by {np.abs(y - right).max():.2g}")
for name, y in last.items():
    print(f"axis=2, {name}: sums to {y.sum():.3f}")
wrong = [bool(np.abs(y - right).max() > 0.1) for y in first.values()]
agree = all(np.allclose(y, last["onnxruntime"], atol=1e-5) for y in last.values())
if wrong != [False, True, True] or not agree:
    sys.exit("no longer so: the three do not differ as they did")
PROGRAM
