#!/usr/bin/env bash
# The seed attribute of a random operator starts the session's sequence, it does not fix the numbers.
#
# Versions: onnxruntime 1.32.0 (CPU), onnx 1.23.2 (its reference evaluator), numpy 2.4.6.
#
# Guess: RandomNormal with seed=7 is a constant: every run gives the same numbers.
# (That is what onnx's own reference evaluator does.)
#
# Seen: onnxruntime, first run of a session  -0.934 -0.680  0.248
#                    second run of it         1.167 -0.790  0.269
#                    first run of another    -0.934 -0.680  0.248
#       reference evaluator, every run        1.691 -0.466  0.033
# The same holds for RandomUniform. Two runs of one session cannot be compared, and the same file gives the
# same numbers again only where the session is made anew and is run equally often.
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
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def network(operator: str) -> onnx.ModelProto:
    node = helper.make_node(operator, [], ["y"], shape=[3], seed=7.0)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    graph = helper.make_graph([node], "g", [], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


changed = False
for operator in ("RandomNormal", "RandomUniform"):
    model = network(operator)
    session = lambda: ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    one, other, reference = session(), session(), ReferenceEvaluator(model)
    runs = {f"{operator}, session {s}, run {r}": x.run(None, {})[0] for s, x in ((1, one), (2, other)) for r in (1, 2)}
    runs |= {f"{operator}, reference evaluator, run {r}": reference.run(None, {})[0] for r in (1, 2)}
    for name, numbers in runs.items():
        print(name, np.round(numbers, 3))
    first, second, again, later, fixed, fixed_again = runs.values()
    changed |= np.array_equal(first, second) or not np.array_equal(fixed, fixed_again)
    changed |= not (np.array_equal(first, again) and np.array_equal(second, later))
if changed:
    sys.exit("no longer so: two runs of one session give the same numbers, or two sessions give others")
PROGRAM
