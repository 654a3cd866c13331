#!/usr/bin/env bash
# A quantised weight that a branch of an If takes from outside makes the file unloadable.
#
# Versions: onnxruntime 1.32.0 (CPU), onnx 1.23.2, numpy 2.4.6.
#
# Guess: a branch may read every value of the graph around it, so it does not matter whether the int8 weight of
# DequantizeLinear -> MatMul in the branch is an initializer of the branch or of the main graph. (Moving the
# weights of both branches out, so that they are stored once, is a plain clean-up.)
#
# Seen: initializers in the branches: runs. The same initializers in the main graph: InferenceSession raises
#   qdq_actions.cc:132 TransposeDQWeightsForMatMulNBits Missing required weight: w for node:
# Without optimisations both run and give the same numbers: the default optimisations fuse the two nodes and look
# for the weight in the branch only.
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
weight = np.random.default_rng(0).integers(-100, 100, (4, 3)).astype(np.int8)
constants = {"w": weight, "scale": np.array(0.01, np.float32), "zero": np.array(0, np.int8)}
TENSORS = [numpy_helper.from_array(v, k) for k, v in constants.items()]


def branch(name: str, last: str, inside: bool) -> onnx.GraphProto:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], [name + "_d"]),
        helper.make_node("MatMul", ["x", name + "_d"], [name + "_m"]),
        helper.make_node(last, [name + "_m"], [name]),
    ]
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3])
    return helper.make_graph(nodes, name, [], [output], TENSORS if inside else [])


def outcome(inside: bool, optimise: bool) -> str:
    branches = {"then_branch": branch("yes", "Abs", inside), "else_branch": branch("no", "Neg", inside)}
    node = helper.make_node("If", ["c"], ["y"], **branches)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])]
    inputs += [helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([node], "g", inputs, [output], [] if inside else TENSORS)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001
        return str(error)
    y = session.run(None, {"x": np.ones((1, 4), np.float32), "c": np.array(True)})[0]
    assert np.allclose(y, np.abs(weight.sum(0) * 0.01), atol=0.02)
    return f"runs: {np.round(y, 2)}"


rows = {(inside, optimise): outcome(inside, optimise) for inside in (True, False) for optimise in (True, False)}
for (inside, optimise), row in rows.items():
    place = "in the branches" if inside else "outside"
    print(f"weight {place}, {'default' if optimise else 'no'} optimisations: {row}")
if [row[:4] == "runs" for row in rows.values()] != [True, True, False, True]:
    sys.exit("no longer so: a weight outside the branches is found")
PROGRAM
