#!/usr/bin/env bash
# MatMulInteger of uint8 by int8 saturates two products at 32767 on processors without VNNI.
#
# Versions: onnxruntime 1.32.0 (CPU, x86-64 with AVX2 and without VNNI), onnx 1.23.2, numpy 2.4.6.
#
# Guess: MatMulInteger gives the exact product of integers: the standard says that the production must never overflow,
# and that the sum may only in 32 bits. So a file that a dynamic quantiser wrote gives the same on every machine, and
# with or without graph optimisation, since the whole is integers and a few float factors.
#
# Seen: 255 * 127 + 255 * 127 is 32767, not 64770: products of neighbours are added in 16 bits that saturate. Both
# levels of optimisation agree. uint8 by uint8 (64770) and uint8 up to 127 by int8 (32258) are exact, which is what the
# quantiser's reduce_range is for; it is off by default. Of random bytes [10, 768] by [768, 512], zero point 128, the
# largest element is off by a tenth or more. Such a file is another function on a processor with VNNI, where none of
# this is seen; what is computed from its weights (a gradient, another runtime) is of the exact one.
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

LEVELS = (ort.GraphOptimizationLevel.ORT_ENABLE_ALL, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)


def product(a: np.ndarray, b: np.ndarray, zero: int) -> np.ndarray:
    held = [numpy_helper.from_array(b, "b"), numpy_helper.from_array(np.uint8(zero), "z")]
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b", "z"], ["y"])], "g",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, a.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [a.shape[0], b.shape[1]])], held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    found = []
    for level in LEVELS:
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found.append(session.run(None, {"a": a})[0])
    assert np.array_equal(*found), "the levels of optimisation differ"
    return found[0]


def exact(a: np.ndarray, b: np.ndarray, zero: int) -> np.ndarray:
    return (a.astype(np.int64) - zero) @ b.astype(np.int64)


pairs = {
    "255 by int8 127": (255, 127, np.int8), "255 by uint8 127": (255, 127, np.uint8), "127 by int8 127": (127, 127, np.int8),
}
seen = {}
for name, (left, right, kind) in pairs.items():
    a, b = np.full((1, 2), left, np.uint8), np.full((2, 1), right, kind)
    seen[name] = (product(a, b, 0).item(), exact(a, b, 0).item())
    print(f"two products of {name}: {seen[name][0]}, exact {seen[name][1]}")
rng = np.random.default_rng(0)
a, b = rng.integers(0, 256, (10, 768)).astype(np.uint8), rng.integers(-127, 128, (768, 512)).astype(np.int8)
right = exact(a, b, 128)
off = np.abs(product(a, b, 128) - right).max() / np.abs(right).max()
print(f"random bytes: off by {off:.1%} of the largest")
if seen["255 by int8 127"] != (32767, 64770) or off < 0.1:
    sys.exit("no longer so: the sum of two products does not saturate (or the processor has VNNI)")
if any(found != wanted for name, (found, wanted) in seen.items() if name != "255 by int8 127"):
    sys.exit("no longer so: the others are not exact")
PROGRAM
