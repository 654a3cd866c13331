"""Doubles in front of thresholds: predicted as the file does; what float32 cannot tell apart is said, only there."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsal

SPLIT = 0.1


def tree(kind: int) -> onnx.ModelProto:
    """Return a stump on the second of two columns: 1 up to SPLIT, 5 above."""
    held = {np.dtype(np.float64): TensorProto.DOUBLE, np.dtype(np.float32): TensorProto.FLOAT}
    own = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    assert held[own] == kind
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, aggregate_function=1, post_transform=0,
        tree_roots=[0], nodes_featureids=[1], nodes_truenodeids=[0], nodes_trueleafs=[1], nodes_falsenodeids=[1],
        nodes_falseleafs=[1], leaf_targetids=[0, 0],
        nodes_splits=numpy_helper.from_array(np.array([SPLIT], own)),
        nodes_modes=numpy_helper.from_array(np.array([0], np.uint8)),
        leaf_weights=numpy_helper.from_array(np.array([1, 5], own)),
    )  # fmt: skip
    x, y = (helper.make_tensor_value_info(name, kind, ["N", size]) for name, size in (("x", 2), ("y", 1)))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    return helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets, ir_version=10)


def value(model: onnxsal.Model, second: float) -> float:
    return model.predict(np.array([0, second]))[0].logit


def test_a_double_that_float32_takes_over_a_threshold_is_warned_of_where_it_goes_through_float32() -> None:
    model = onnxsal.load(tree(TensorProto.DOUBLE), task="regression")
    assert (value(model, SPLIT - 0.01), value(model, SPLIT), value(model, SPLIT + 0.01)) == (1, 1, 5)
    row = np.array([0, SPLIT])
    assert model.outputs(model.prepare(row).x)["value"][0] == 5, "if this is 1 now, the note is to go"
    notes = onnxsal.explain(model, row, method="occlusion").manifest["notes"]
    assert [note for note in notes if "rounded to float32" in note and "TreeEnsemble" in note]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT])
def test_floats_are_what_they_are(kind: int) -> None:
    model = onnxsal.load(tree(kind), task="regression")
    assert value(model, SPLIT) == 1
    found = onnxsal.explain(model, np.array([0, SPLIT]), method="occlusion")
    assert not [note for note in found.manifest["notes"] if "float32" in note]
