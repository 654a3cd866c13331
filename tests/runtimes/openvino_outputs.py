"""Runs models in OpenVINO. Arguments: a folder with NAME.onnx and NAME.npz, what it is fed; writes NAME.out.npz."""

import sys
from pathlib import Path

import numpy as np
import openvino as ov

core = ov.Core()
for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    model = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = model(dict(np.load(path.with_suffix(".npz"))))
    np.savez(path.with_suffix(".out.npz"), *[found[output] for output in model.outputs])
