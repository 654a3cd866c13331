"""Small models as text whose runs are compared: what draws random numbers in ONNX Runtime, and what does not."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime

X = np.linspace(1, 2, 16, dtype=np.float32)[None]

_HELD = (
    "float two = {2}, float half = {0.5}, float none = {0}, bool train = {1}, bool still = {0}, int64 once = {1}, "
    "float[1,16] c16 = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}, int64[0] nothing = {}, int64[1] zero = {0}"
)


def parse(body: str, outputs: str = "float y", inputs: str = "float[1,16] x", opset: int = 17) -> onnx.ModelProto:
    """Return the model of a body that reads x [1, 16] and a few constants, and gives y."""
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({outputs}) <{_HELD}> {{ {body} }}'
    return onnx.parser.parse_model(text)


def runs(proto: onnx.ModelProto, count: int = 5) -> list[np.ndarray]:
    """Return y of several runs of one session."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [session.run(None, {"x": X})[0] for _ in range(count)]


def draws(results: list[np.ndarray]) -> bool:
    """Whether the runs differ."""
    return any((results[0] != other).any() for other in results[1:])
