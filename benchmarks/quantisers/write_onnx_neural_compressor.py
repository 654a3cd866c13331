"""Forms of Intel's ONNX neural compressor: python write_onnx_neural_compressor.py FLOAT.onnx FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from onnx_neural_compressor import data_reader
from onnx_neural_compressor.quantization import QuantFormat, QuantType, config, quantize
from writing import Reader, write


class Images(Reader, data_reader.CalibrationDataReader):
    pass


def static(form: str, activations: str, **how: Any) -> Any:
    def make(path: Path) -> None:
        chosen = config.StaticQuantConfig(
            Images(), quant_format=QuantFormat[form], activation_type=QuantType[activations], **how
        )
        quantize(sys.argv[1], str(path), chosen)

    return make


def dynamic(**how: Any) -> Any:
    return lambda path: quantize(sys.argv[1], str(path), config.DynamicQuantConfig(**how))


write({
    "static-u8s8": static("QDQ", "QUInt8", per_channel=True),
    "static-s8s8": static("QDQ", "QInt8"),
    "qoperator-u8s8": static("QOperator", "QUInt8"),
    "dynamic": dynamic(),
})  # fmt: skip
