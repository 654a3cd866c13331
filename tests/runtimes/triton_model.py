"""The model of Triton's Python backend that stands for its ONNX backend: a file in ONNX Runtime, on gathered rows."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """Named so by Triton."""

    def initialize(self, given):
        """Open the file, and read what the configuration names."""
        told = json.loads(given["model_config"])
        self.inputs, self.outputs = ([each["name"] for each in told[kind]] for kind in ("input", "output"))
        path = Path(given["model_repository"], given["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def execute(self, requests):
        """Return an answer to each request: the file runs once on the rows of all of them."""
        asked = [[triton.get_input_tensor_by_name(r, name).as_numpy() for name in self.inputs] for r in requests]
        rows = [np.concatenate(parts) for parts in zip(*asked, strict=True)]
        made = self.session.run(self.outputs, dict(zip(self.inputs, rows, strict=True)))
        ends = np.cumsum([len(parts[0]) for parts in asked])[:-1]
        apart = zip(*(np.split(array, ends) for array in made), strict=True)
        return [triton.InferenceResponse(list(map(triton.Tensor, self.outputs, own))) for own in apart]
