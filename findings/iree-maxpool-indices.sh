#!/usr/bin/env bash
# MaxPool's second output counts elements of the whole tensor; in IREE of each plane anew.
#
# Versions: iree-base-compiler 3.13.0, iree-base-runtime 3.13.0, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6.
#
# Guess: as the standard says, "the dimensions of indices are the same as output tensor; the values are indices computed
# as if the input tensor is flatten to 1-D": of four planes of 2 x 2 the third element is 2, 6, 10, 14.
#
# Seen: x of shape (2, 2, 2, 2), the third element of each plane the largest
#   onnxruntime   2 6 10 14
#   iree          2 2 2 2
# Nothing fails where the indices are used to put values back: they all land in the first plane of the first picture.
set -euo pipefail
export ORT_DISABLE_TELEMETRY=1 CI=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'iree-base-compiler==3.13.0' 'iree-base-runtime==3.13.0' 'onnxruntime==1.32.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import subprocess
import sys

import iree.compiler
import iree.runtime
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

kinds = {"x": (TensorProto.FLOAT, [2, 2, 2, 2]), "y": (TensorProto.FLOAT, [2, 2, 1, 1]), "i": (TensorProto.INT64, [2, 2, 1, 1])}
ends = [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()]
node = helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2])
model = helper.make_model(
    helper.make_graph([node], "pool", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 18)], ir_version=8
)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "pool.onnx")
x = np.zeros((2, 2, 2, 2), np.float32)
x[:, :, 1, 0] = 1
_, right = ort.InferenceSession("pool.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})
subprocess.run([sys.executable, "-m", "iree.compiler.tools.import_onnx", "pool.onnx", "-o", "pool.mlir"], check=True)
options = {"input_type": "onnx", "target_backends": ["llvm-cpu"], "extra_args": ["--iree-llvmcpu-target-cpu=host"]}
context = iree.runtime.SystemContext(config=iree.runtime.Config("local-task"))
made = iree.compiler.compile_file("pool.mlir", **options)
context.add_vm_module(iree.runtime.VmModule.copy_buffer(context.instance, made))
_, found = context.modules.module["pool"](x)
print("onnxruntime", right.ravel().tolist())
print("iree", found.to_host().ravel().tolist())
if right.ravel().tolist() != [2, 6, 10, 14] or found.to_host().ravel().tolist() != [2, 2, 2, 2]:
    sys.exit("no longer so: the indices are others")
PROGRAM
