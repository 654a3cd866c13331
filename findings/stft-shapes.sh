#!/usr/bin/env bash
# onnx's shape inference counts twice the bins of an STFT that leaves `onesided` out, and gives none, not even the rank,
# where the signal's length is open.
#
# Versions: onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
#
# Guess: the operator's table says that onesided is 1 by default, so that a frame of 400 samples has 201 bins; and what
# comes out of [B, T] has four axes, of which only the number of frames hangs on T.
#
# Seen: onnx.shape_inference.infer_shapes, data_prop and strict_mode on, for frame_length 400, frame_step 160:
#   [B, 16000, 1], onesided left out     [?, 98, 400, 2]     ONNX Runtime puts out [1, 98, 201, 2]
#   [B, 16000, 1], onesided = 1          [?, 98, 201, 2]     the same
#   [B, T, 1], either                    no shape            the same
# A tool that reads the inferred shape into constants, for a reshape or a gradient, has 400 where 201 come: the message is
# of dimensions that do not fit, far behind. Write onesided = 1 into the node before asking, and the four axes yourself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'onnx==1.23.2' 'onnxruntime==1.32.0' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import parser, shape_inference


def shapes(length: str, attribute: str) -> tuple[list[int] | None, list[int]]:
    """Return what is inferred, and what comes out of one signal of 16000 samples."""
    model = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> g (float[B, {length}, 1] x) => (y)
        <int64 step = {{160}}, int64 taps = {{400}}> {{ y = STFT {attribute} (x, step, , taps) }}"""
    )
    inferred = shape_inference.infer_shapes(model, data_prop=True, strict_mode=True)
    kind = inferred.graph.output[0].type.tensor_type
    found = [d.dim_value for d in kind.shape.dim] if kind.HasField("shape") else None
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (made,) = session.run(None, {"x": np.ones((1, 16000, 1), np.float32)})
    return found, list(made.shape)


cases = [("16000", ""), ("16000", "<onesided = 1>"), ("T", ""), ("T", "<onesided = 1>")]
seen = [shapes(*case) for case in cases]
for case, (inferred, made) in zip(cases, seen):
    print(case, "inferred:", inferred, "made:", made)
made = [1, 98, 201, 2]
if seen != [([0, 98, 400, 2], made), ([0, 98, 201, 2], made), (None, made), (None, made)]:
    sys.exit("no longer so: the bins of an STFT are inferred as they are made, or otherwise again")
PROGRAM
