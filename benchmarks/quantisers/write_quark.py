"""Forms of AMD Quark: python write_quark.py FLOAT.onnx FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import quark.onnx as quark
from onnxruntime.quantization import CalibrationDataReader
from quark.onnx.quantization.config import get_default_config
from writing import Reader, write


class Images(Reader, CalibrationDataReader):
    pass


def quantised(name: str) -> Any:
    def make(path: Path) -> None:
        how = quark.Config(global_quant_config=get_default_config(name))
        quark.ModelQuantizer(how).quantize_model(sys.argv[1], str(path), Images())

    return make


NAMES = """XINT8 A8W8 A16W8 S8S8_AAWS U8S8_AAWS U8U8_AAWA S16S8_ASWS U16S8_AAWS S16S16_MIXED_S8S8 INT8_CNN_DEFAULT
INT16_CNN_DEFAULT INT8_TRANSFORMER_DEFAULT BF16 BFP16 UINT8_DYNAMIC_QUANT MATMUL_NBITS"""
write({name.lower().replace("_", "-"): quantised(name) for name in NAMES.split()})
