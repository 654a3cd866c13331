#!/usr/bin/env bash
# In OpenVINO a product by the transpose of a square weight is the product by the weight itself, where both are multiplied.
#
# Versions: openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6.
#
# Guess: MatMul(x, W) and MatMul(x, Transpose(W)) are two products; a weight that is kept laid out for one of them is
# laid out anew for the other.
#
# Seen: x of shape (1, 5, 64), W of shape (64, 64), float32, for both of
#   a = x W, b = x W^T            b is x W: off by as much as the two differ, equal to x W to 2e-6
#   a = x W, b = a W^T            b is a W
# also where W^T is written as Gemm with transB, and with shapes that are all known. ONNX Runtime gives W^T to rounding.
# With a Relu between the two products, or with the transpose as a weight of its own, openvino is right. Gradients of
# transformers are such chains: their projections of queries, keys and values are square.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'openvino==2026.4.1' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime as ort
import openvino
from onnx import TensorProto, helper, numpy_helper

N = 64
rng = np.random.default_rng(0)
w = (rng.normal(size=(N, N)) / 8).astype(np.float32)
x = rng.normal(size=(1, 5, N)).astype(np.float32)


def outputs(nodes, held):
    """Return b of both runtimes."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [1, 5, N])],
        [value(name, TensorProto.FLOAT, [1, 5, N]) for name in ("a", "b")],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    content = made.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (right,) = ort.InferenceSession(content).run(["b"], {"x": x})
    return compiled({"x": x})["b"], right


def far(a, b):
    return float(np.abs(a - b).max())


def product(a, b, c):
    return helper.make_node("MatMul", [a, b], [c])


turned = helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0])
seen = {}
for name, read, wrong in (("b = x W^T", "x", x @ w), ("b = a W^T", "a", x @ w @ w)):
    theirs, right = outputs([product("x", "w", "a"), turned, product(read, "t", "b")], {"w": w})
    wanted = (x if read == "x" else x @ w) @ w.T
    own, _ = outputs([product("x", "w", "a"), product(read, "t", "b")], {"w": w, "t": np.ascontiguousarray(w.T)})
    print(f"{name}: onnxruntime off {far(right, wanted):.0e}, openvino off {far(theirs, wanted):.1f}, "
          f"from the product by W {far(theirs, wrong):.0e}; transpose as a weight: openvino off {far(own, wanted):.0e}")
    seen[name] = (
        far(right, wanted) < 1e-4, far(theirs, wanted) > 1, far(theirs, wrong) < 1e-4, far(own, wanted) < 1e-4
    )
if any(each != (True, True, True, True) for each in seen.values()):
    sys.exit(f"no longer so: {seen}")
PROGRAM
