"""Runs compiled models in OpenVINO. Arguments: a folder with jobs.json and feed.f32."""

import json
import sys
from pathlib import Path

import numpy as np
import openvino as ov

folder = Path(sys.argv[1])
jobs = json.loads((folder / "jobs.json").read_text())
feed = np.fromfile(folder / "feed.f32", np.float32).reshape(jobs["shape"])
(folder / "version").write_text(f"openvino {ov.__version__.split('-')[0]}")
core = ov.Core()
for name in jobs["models"]:
    try:
        model = core.compile_model(folder / f"{name}.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = model({"picture": feed})["saliency"]
        np.asarray(found, np.float32).tofile(folder / f"{name}.f32")
    except Exception as error:  # noqa: BLE001  what a runtime raises is what the table says
        (folder / f"{name}.error").write_text(str(error))
