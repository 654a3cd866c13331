#!/usr/bin/env bash
# A file in ONNX Runtime's own format (.ort) can be written back as ONNX, by the option that saves optimised models.
#
# Versions: onnxruntime 1.32.0 (CPU), onnx 1.23.2, numpy 2.4.6.
#
# Guess: the way to .ort is one way, as the documents describe the conversion in one direction only: a session that is
# made of an .ort file refuses optimized_model_filepath, or writes .ort again.
#
# Seen: a session of the .ort file without optimisations and a path that ends in .onnx writes a model that onnx reads:
#   saved at level basic   Conv, Relu in the standard domain, the weight under its own name; outputs differ by 0.0
#   saved at level all     com.microsoft.nchwc.Conv and ReorderOutput, the weight reordered: what the processor's layout
#                          replaced does not come back
# Its graph has an empty name, so onnx's checker refuses what ONNX Runtime loads.
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

ort.set_default_logger_severity(3)
random = np.random.default_rng(0)
weight = numpy_helper.from_array(random.normal(size=(8, 4, 3, 3)).astype(np.float32), "w")
x = random.normal(size=(1, 4, 8, 8)).astype(np.float32)
nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4), helper.make_node("Relu", ["c"], ["y"])]
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", c, 8, 8]) for name, c in (("x", 4), ("y", 8))]
graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "model.onnx")


def session(path, level, saved=None):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    if saved is not None:
        options.optimized_model_filepath = saved
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


levels = ort.GraphOptimizationLevel
seen = {}
for name, level in (("basic", levels.ORT_ENABLE_BASIC), ("all", levels.ORT_ENABLE_ALL)):
    session("model.onnx", level, "model.ort")
    assert open("model.ort", "rb").read(8)[4:] == b"ORTM"
    session("model.ort", levels.ORT_DISABLE_ALL, "back.onnx")
    back = onnx.load("back.onnx")
    first, second = (session(path, levels.ORT_DISABLE_ALL).run(None, {"x": x})[0] for path in ("model.onnx", "back.onnx"))
    try:
        onnx.checker.check_model(back)
        checked = True
    except onnx.checker.ValidationError:
        checked = False
    close = bool(np.allclose(first, second, rtol=1e-4, atol=1e-5))
    seen[name] = sorted({node.domain for node in back.graph.node}), back.graph.name, checked, close
    print(name, [(node.domain, node.op_type) for node in back.graph.node], seen[name][1:], np.abs(first - second).max())
standard = seen["basic"] == ([""], "", False, True)
blocked = "com.microsoft.nchwc" in seen["all"][0] or seen["all"][0] == [""]  # by the processor
if not (standard and blocked and not seen["all"][2] and seen["all"][3]):
    sys.exit("no longer so: an .ort file does not come back as it did")
PROGRAM
