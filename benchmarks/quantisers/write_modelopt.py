"""Forms of NVIDIA's Model Optimizer: python write_modelopt.py FLOAT.onnx FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from modelopt.onnx.quantization import quantize
from writing import images, write


def quantised(mode: str, **how: Any) -> Any:
    def make(path: Path) -> None:
        data = {"x": np.concatenate([p["x"] for p in images()])}
        quantize(sys.argv[1], quantize_mode=mode, calibration_data=data, output_path=str(path),
                 calibration_eps=["cpu"], **how)  # fmt: skip

    return make


write({
    "int8": quantised("int8"),
    "int8-entropy": quantised("int8", calibration_method="entropy"),
    "fp8": quantised("fp8"),
    "int4": quantised("int4", calibration_method="rtn_dq"),
})  # fmt: skip
