#!/usr/bin/env bash
# Whether a maximum is NaN depends on where the NaN lies and how many values there are.
#
# Versions: onnxruntime 1.32.0 (CPU, x86-64), onnx 1.23.2, numpy 2.4.6.
#
# Guess: the maximum of values one of which is NaN is NaN, as in numpy and PyTorch, in ReduceMax, GlobalMaxPool and
# MaxPool alike; so a NaN that arises anywhere reaches the outputs and is noticed there.
#
# Seen: the numbers 1 to n in order, one of them replaced by NaN; where it had to lie for a NaN to come out:
#                  n = 4       n = 49      n = 64
#   ReduceMax      first       first       first
#   GlobalMaxPool  last        last but 1  last
#   MaxPool        last        last but 1  last
# All other places give a number, mostly the largest of the rest; not always: NaN at place 1 of 4 made ReduceMax
# return 3 instead of 4, and at places 1, 3 and 7 of 64 return 63 instead of 64. So a NaN vanishes in a pooling
# layer and the network's output looks sound. (Which places may differ on another processor.)
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


def positions(operator: str, count: int) -> list[int]:
    attributes = {"ReduceMax": {"keepdims": 1}, "MaxPool": {"kernel_shape": [1, count]}}.get(operator, {})
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, count])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1])
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], **attributes)], "g", [source], [target])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    noticed = []
    for position in range(count):
        x = np.arange(1, count + 1, dtype=np.float32).reshape(1, 1, 1, count)
        x[..., position] = np.nan
        y = session.run(None, {"x": x})[0].item()
        if np.isnan(y):
            noticed.append(position)
        elif y != np.nanmax(x):
            print(f"{operator} of {count}, NaN at place {position}: {y}, the largest number is {np.nanmax(x)}")
    return noticed


counts = (4, 49, 64)
table = {operator: [positions(operator, n) for n in counts] for operator in ("ReduceMax", "GlobalMaxPool", "MaxPool")}
for operator, rows in table.items():
    for n, noticed in zip(counts, rows):
        print(f"{operator} of {n}: NaN for {len(noticed)} of {n} positions {noticed if len(noticed) < n else 'all'}")
if all(len(noticed) == n for rows in table.values() for n, noticed in zip(counts, rows)):
    sys.exit("no longer so: every NaN reaches the maximum")
PROGRAM
