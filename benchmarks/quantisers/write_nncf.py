"""Forms of NNCF: python write_nncf.py FLOAT.onnx FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nncf
import onnx
from writing import images, write


def quantised(**how: Any) -> Any:
    def make(path: Path) -> None:
        onnx.save(nncf.quantize(onnx.load(sys.argv[1]), nncf.Dataset(list(images())), **how), path)

    return make


def compressed(mode: str, **how: Any) -> Any:
    def make(path: Path) -> None:
        onnx.save(nncf.compress_weights(onnx.load(sys.argv[1]), mode=nncf.CompressWeightsMode[mode], **how), path)

    return make


BLOCKS = {"ratio": 1.0, "group_size": 8, "all_layers": True}
write({
    "performance": quantised(preset=nncf.QuantizationPreset.PERFORMANCE),
    "mixed": quantised(preset=nncf.QuantizationPreset.MIXED),
    "transformer": quantised(model_type=nncf.ModelType.TRANSFORMER),
    "weights-8": compressed("INT8_ASYM"),
    "weights-8-symmetric": compressed("INT8_SYM"),
    "weights-4": compressed("INT4_ASYM", **BLOCKS),
    "weights-4-symmetric": compressed("INT4_SYM", **BLOCKS),
})  # fmt: skip
