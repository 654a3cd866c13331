#!/usr/bin/env bash
# The version converter changes what a linear Resize of opset 10 computes.
#
# Versions: onnx 1.23.2 (its version converter), onnxruntime 1.32.0 (CPU), numpy 2.4.6.
#
# Guess: a converter of opsets writes out what the older operator meant. Resize of opset 10 (and Upsample of 9)
# takes its points at x / scale; opset 11 made that an attribute, whose default is another ("half_pixel"), so the
# converter sets coordinate_transformation_mode="asymmetric".
#
# Seen: it writes Resize[mode="linear"] with no such attribute. onnx.checker is content, the shapes are the same,
# and the values are not: of a ramp 0..15 in 4 x 4, largest difference of the two files in onnxruntime
#   Resize of 10, scale 0.5    2.5
#   Resize of 10, scale 1.5    0.83
#   Upsample of 9, scale 1.5   0.83
# mode="nearest" happens to agree at these scales.
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

ramp = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


def network(operator: str, opset: int, scale: float) -> onnx.ModelProto:
    node = helper.make_node(operator, ["x", "scales"], ["y"], mode="linear")
    size = int(4 * scale)
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])
    target = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, size, size])
    scales = numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "scales")
    graph = helper.make_graph([node], "g", [source], [target], [scales])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def values(model: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": ramp})[0]


changed = False
for operator, opset, scale in (("Resize", 10, 0.5), ("Resize", 10, 1.5), ("Upsample", 9, 1.5)):
    older = network(operator, opset, scale)
    newer = version_converter.convert_version(older, 11)
    resize = newer.graph.node[-1]
    attributes = [helper.printable_attribute(a) for a in resize.attribute]
    difference = np.abs(values(older) - values(newer)).max()
    print(f"{operator} of {opset}, scale {scale}: becomes {resize.op_type}, {attributes}, differs by {difference:.2g}")
    changed |= any(a.name == "coordinate_transformation_mode" for a in resize.attribute) or difference < 0.1
if changed:
    sys.exit("no longer so: the converter keeps what the older operator computes")
PROGRAM
