"""Runs compiled models in stock ONNX Runtime: no onnxsal here. Arguments: a folder with jobs.json and feed.f32."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

sys.modules["onnxsal"] = None  # type: ignore[assignment]  # importing it fails, even where it is installed

folder = Path(sys.argv[1])
jobs = json.loads((folder / "jobs.json").read_text())
feed = np.fromfile(folder / "feed.f32", np.float32).reshape(jobs["shape"])
(folder / "version").write_text(f"onnxruntime {ort.__version__}")
for name in jobs["models"]:
    try:
        session = ort.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
        (found,) = session.run(["saliency"], {"picture": feed})
        found.astype(np.float32).tofile(folder / f"{name}.f32")
    except Exception as error:  # noqa: BLE001  what a runtime raises is what the table says
        (folder / f"{name}.error").write_text(str(error))
