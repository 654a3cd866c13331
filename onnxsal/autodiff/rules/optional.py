"""Rules of optional values, which have the gradient of what they hold, and of the few operators of ai.onnx.ml."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxsal.autodiff.registry import defvjp, defzero
from onnxsal.autodiff.rules.common import element_numbers, put_back
from onnxsal.graph.tape import Tape

ML = "ai.onnx.ml"

defvjp("Optional", lambda op, g, y, x: g)
defvjp("OptionalGetElement", lambda op, g, y, x: g)


def _array_feature_extractor(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, indices: ir.Value) -> ir.Value:
    return put_back(op, g, op.Gather(element_numbers(op, x), op.Reshape(indices, [-1]), axis=-1), x)


def _scaler(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, scale: Sequence[float] = ()) -> ir.Value:
    return op.Mul(g, op.const(list(scale), g.dtype)) if scale else g


defvjp("ArrayFeatureExtractor", _array_feature_extractor, None, domain=ML)
defvjp("Scaler", _scaler, domain=ML)
# Steps, and what puts out labels
defzero("Binarizer", "CategoryMapper", "LabelEncoder", "OneHotEncoder", "TreeEnsemble", "TreeEnsembleClassifier",
        "TreeEnsembleRegressor", domain=ML)  # fmt: skip
