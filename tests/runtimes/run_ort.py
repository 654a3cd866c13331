"""Runs compiled models in stock ONNX Runtime: no onnxsal here. Argument: a folder with jobs.json and what is fed."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

sys.modules["onnxsal"] = None  # type: ignore[assignment]  # importing it fails, even where it is installed

folder = Path(sys.argv[1])
(folder / "version").write_text(f"onnxruntime {ort.__version__}")
for name, job in json.loads((folder / "jobs.json").read_text()).items():
    try:
        feeds = {
            key: np.fromfile(folder / f"{name}.{key}.in", kind).reshape(shape)
            for key, (kind, shape) in job["feeds"].items()
        }
        session = ort.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for output, found in zip(job["outputs"], session.run(job["outputs"], feeds), strict=True):
            found.astype(np.float32).tofile(folder / f"{name}.{output}.out")
    except Exception as error:  # noqa: BLE001  what a runtime raises is what the table says
        (folder / f"{name}.error").write_text(str(error))
