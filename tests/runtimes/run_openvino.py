"""Runs compiled models in OpenVINO. Argument: a folder with jobs.json and what is fed."""

import json
import sys
from pathlib import Path

import numpy as np
import openvino as ov

folder = Path(sys.argv[1])
(folder / "version").write_text(f"openvino {ov.__version__.split('-')[0]}")
core = ov.Core()
for name, job in json.loads((folder / "jobs.json").read_text()).items():
    try:
        feeds = {
            key: np.fromfile(folder / f"{name}.{key}.in", kind).reshape(shape)
            for key, (kind, shape) in job["feeds"].items()
        }
        model = core.compile_model(folder / f"{name}.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = model(feeds)
        for output in job["outputs"]:
            np.asarray(found[output], np.float32).tofile(folder / f"{name}.{output}.out")
    except Exception as error:  # noqa: BLE001  what a runtime raises is what the table says
        (folder / f"{name}.error").write_text(str(error))
