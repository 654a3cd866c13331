"""Forms of ONNX Runtime's own quantiser: python write_onnxruntime.py FLOAT.onnx FOLDER."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import onnx
from onnxruntime import quantization as q
from onnxruntime.quantization import matmul_nbits_quantizer as nbits
from writing import Reader, write

FLOAT = sys.argv[1]


class Images(Reader, q.CalibrationDataReader):
    pass


def static(path: Path, activations: str, weights: str, form: str = "QDQ", **how: Any) -> None:
    types = {"activation_type": q.QuantType[activations], "weight_type": q.QuantType[weights]}
    q.quantize_static(FLOAT, path, Images(), quant_format=q.QuantFormat[form], **types, **how)


def dynamic(path: Path, weights: str, **how: Any) -> None:
    q.quantize_dynamic(FLOAT, path, weight_type=q.QuantType[weights], **how)


def blocks(path: Path, bits: int, form: str, symmetric: bool) -> None:
    how = nbits.DefaultWeightOnlyQuantConfig(
        block_size=16, is_symmetric=symmetric, bits=bits, quant_format=q.QuantFormat[form]
    )
    model = nbits.MatMulNBitsQuantizer(onnx.load(FLOAT), algo_config=how)
    model.process()
    model.model.save_model_to_file(str(path))


def each(make: Any, *given: Any, **how: Any) -> Any:
    return functools.partial(_call, make, given, how)


def _call(make: Any, given: Any, how: Any, path: Path) -> None:
    make(path, *given, **how)


CONTRIB = {"extra_options": {"UseQDQContribOps": True}}
write({
    "static-u8s8": each(static, "QUInt8", "QInt8"),
    "static-u8u8": each(static, "QUInt8", "QUInt8"),
    "static-s8s8": each(static, "QInt8", "QInt8"),
    "static-u8s8-channels": each(static, "QUInt8", "QInt8", per_channel=True),
    "static-s8s8-channels": each(static, "QInt8", "QInt8", per_channel=True),
    "static-u8s8-reduced": each(static, "QUInt8", "QInt8", reduce_range=True),
    "static-s8s8-symmetric": each(static, "QInt8", "QInt8", extra_options={"ActivationSymmetric": True}),
    "static-u16s8": each(static, "QUInt16", "QInt8"),
    "static-s16s16": each(static, "QInt16", "QInt16"),
    "static-u8s4": each(static, "QUInt8", "QInt4"),
    "static-u16u4-channels": each(static, "QUInt16", "QUInt4", per_channel=True),
    "static-float8": each(static, "QFLOAT8E4M3FN", "QFLOAT8E4M3FN", calibrate_method=q.CalibrationMethod.Distribution),
    "contrib-u8s8": each(static, "QUInt8", "QInt8", **CONTRIB),
    "contrib-s8s8": each(static, "QInt8", "QInt8", **CONTRIB),
    "contrib-u16s8": each(static, "QUInt16", "QInt8", **CONTRIB),
    "contrib-s16s4": each(static, "QInt16", "QInt4", **CONTRIB),
    "qoperator-u8s8": each(static, "QUInt8", "QInt8", "QOperator"),
    "qoperator-u8s8-channels": each(static, "QUInt8", "QInt8", "QOperator", per_channel=True),
    "qoperator-s8s8": each(static, "QInt8", "QInt8", "QOperator"),
    "dynamic-s8": each(dynamic, "QInt8"),
    "dynamic-u8": each(dynamic, "QUInt8"),
    "dynamic-s8-channels": each(dynamic, "QInt8", per_channel=True),
    "dynamic-s8-reduced": each(dynamic, "QInt8", reduce_range=True),
    "weights-4-qdq": each(blocks, 4, "QDQ", True),
    "weights-4-qdq-zero": each(blocks, 4, "QDQ", False),
    "weights-4": each(blocks, 4, "QOperator", True),
    "weights-4-zero": each(blocks, 4, "QOperator", False),
    "weights-8": each(blocks, 8, "QOperator", True),
})  # fmt: skip
