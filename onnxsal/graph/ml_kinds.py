"""Types and shapes of operators of ai.onnx.ml, of which onnx infers next to nothing: as ONNX Runtime gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from onnxsal.graph.attributes import attributes
from onnxsal.graph.maps import ML
from onnxsal.graph.shapes import Dim

Kind = tuple[ir.DataType, tuple[Dim, ...] | None]

_FLOATS = frozenset({"Scaler", "Normalizer"})
_SAME = frozenset({"Imputer", "Binarizer"})
_REGRESSORS = {"TreeEnsembleRegressor": "n_targets", "LinearRegressor": "targets", "TreeEnsemble": "n_targets",
               "SVMRegressor": ""}  # fmt: skip
"""What says how many numbers each gives; one where nothing does."""

_CLASSIFIERS = frozenset({"TreeEnsembleClassifier", "LinearClassifier"})


def ml_kinds(node: ir.Node, kinds: Sequence[Kind | None]) -> tuple[Kind | None, ...]:
    """Return the kinds of the outputs of one of these operators; nothing where they are not known."""
    if node.domain != ML or not kinds or kinds[0] is None:
        return ()
    (dtype, shape), given = kinds[0], attributes(node)
    if node.op_type in _FLOATS:
        return ((ir.DataType.FLOAT, shape),)
    if node.op_type in _SAME:
        return ((dtype, shape),)
    if node.op_type in ("LabelEncoder", "CategoryMapper"):
        return _encoded(node, shape, given)
    rows = None if shape is None or len(shape) != 2 else shape[0]
    if node.op_type == "OneHotEncoder":
        return ((ir.DataType.FLOAT, None if shape is None else (*shape, _categories(given))),)
    if node.op_type == "FeatureVectorizer":
        return ((ir.DataType.FLOAT, (rows, sum(given.get("inputdimensions", ())) or None)),)
    if node.op_type in _REGRESSORS:
        number = dtype if node.op_type == "TreeEnsemble" else ir.DataType.FLOAT
        return ((number, (rows, given.get(_REGRESSORS[node.op_type], 1))),)
    if node.op_type in _CLASSIFIERS:
        text = bool(given.get("classlabels_strings"))
        label = ir.DataType.STRING if text else ir.DataType.INT64
        return ((label, (rows,)), (ir.DataType.FLOAT, (rows, _classes(given))))
    return ()


def _encoded(node: ir.Node, shape: tuple[Dim, ...] | None, given: dict[str, Any]) -> tuple[Kind | None, ...]:
    if node.op_type == "CategoryMapper":  # whose attributes do not tell which way it goes
        return ()
    values = {"values_strings": ir.DataType.STRING, "values_int64s": ir.DataType.INT64,
              "values_floats": ir.DataType.FLOAT}  # fmt: skip
    tensor = given.get("values_tensor")
    dtype = tensor.dtype if tensor is not None else next((d for name, d in values.items() if given.get(name)), None)
    return () if dtype is None else ((dtype, shape),)


def _categories(given: dict[str, Any]) -> int:
    return len(given.get("cats_strings") or given.get("cats_int64s") or ())


def _classes(given: dict[str, Any]) -> int | None:
    """Return how many scores a classifier gives: of two classes that one number tells apart two all the same."""
    labels = given.get("classlabels_strings") or given.get("classlabels_int64s") or given.get("classlabels_ints") or ()
    return len(labels) if len(labels) > 1 else None
