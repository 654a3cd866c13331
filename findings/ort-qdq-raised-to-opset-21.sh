#!/usr/bin/env bash
# A quantised int8 file that loads at opset 20 does not load at opset 21, with nothing changed but the number.
#
# Versions: onnxruntime 1.32.0 (CPU), onnx 1.23.2 (its version converter), numpy 2.4.6.
#
# Guess: QuantizeLinear and DequantizeLinear only gained attributes with defaults in opset 21, so a file raised
# from 20 to 21 (by onnx's converter, which changes no node) runs as before.
#
# Seen: QuantizeLinear (int8) -> DequantizeLinear -> Transpose, Reshape, Slice or Unsqueeze:
#   opset 20                          runs
#   opset 21 without optimisations    runs
#   opset 21                          Node (t_q) Op (QuantizeLinear) [TypeInferenceError] output_dtype INT8 does
#                                     not match y_zero_point type UINT8.
# There is no node t_q and no UINT8 in the file: the default optimisations add a pair of quantising nodes behind
# an operator that moves values and give it a zero point of the wrong type. Relu in that place loads.
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
from onnx import TensorProto, helper, numpy_helper, version_converter

ort.set_default_logger_severity(4)
# Per operator: its second to fourth inputs, its attributes, the shape of its output for x of shape (2, 3).
OPERATORS = {
    "Transpose": ([], {"perm": [1, 0]}, [3, 2]),
    "Reshape": ([[3, 2]], {}, [3, 2]),
    "Slice": ([[0], [1], [0]], {}, [1, 3]),
    "Unsqueeze": ([[0]], {}, [1, 2, 3]),
    "Relu": ([], {}, [2, 3]),
}


def network(operator: str) -> onnx.ModelProto:
    arguments, attributes, shape = OPERATORS[operator]
    constants = {"scale": np.float32(0.1), "zero": np.int8(0)}
    constants |= {f"argument{i}": np.array(v, np.int64) for i, v in enumerate(arguments)}
    tensors = [numpy_helper.from_array(np.array(v), k) for k, v in constants.items()]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node(operator, ["d", *list(constants)[2:]], ["t"], **attributes),
    ]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    target = helper.make_tensor_value_info("t", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [source], [target], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def outcome(model: onnx.ModelProto, optimise: bool) -> str:
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001
        return str(error)
    session.run(None, {"x": np.ones((2, 3), np.float32)})
    return "runs"


changed = False
for operator in OPERATORS:
    older = network(operator)
    newer = version_converter.convert_version(older, 21)
    assert newer.opset_import[0].version == 21
    assert [n.op_type for n in newer.graph.node] == [n.op_type for n in older.graph.node]
    rows = {"opset 20": outcome(older, True), "21, no optimisations": outcome(newer, False), "21": outcome(newer, True)}
    for name, row in rows.items():
        print(f"{operator}, {name}: {row}")
    changed |= ("output_dtype INT8 does not match" in rows["21"]) != (operator != "Relu")
    changed |= list(rows.values())[:2] != ["runs", "runs"]
if changed:
    sys.exit("no longer so: opset 21 loads like opset 20")
PROGRAM
