"""Weights drawn anew: which are, which are not, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper, parser

from onnxsal.graph.redraw import redrawn, weights

TEXT = """
    <ir_version: 8, opset_import: ["" : 21]>
    net (float[N, 3, 8, 8] x) => (float[N, 4] y) {
        w1f = DequantizeLinear (w1, s1)
        c1 = Conv <pads = [1, 1, 1, 1]> (x, w1f, b1)
        shifted = Add (c1, shift)
        r1 = Relu (shifted)
        pooled = GlobalAveragePool (r1)
        flat = Flatten (pooled)
        w2t = Transpose <perm = [1, 0]> (w2)
        y = MatMul (flat, w2t)
    }
"""


def network() -> ir.Model:
    random = np.random.default_rng(0)
    model = parser.parse_model(TEXT)
    arrays = {
        "w1": random.integers(-90, 90, (5, 3, 3, 3)).astype(np.int8), "s1": np.array(0.02, np.float32),
        "b1": random.normal(size=5).astype(np.float32), "shift": np.ones((5, 1, 1), np.float32),
        "w2": random.normal(size=(4, 5)).astype(np.float32),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in arrays.items())
    onnx.checker.check_model(model)
    return ir.from_proto(model)


def values(model: ir.Model) -> dict[str, np.ndarray]:
    return {name: v.const_value.numpy() for name, v in model.graph.initializers.items() if v.const_value is not None}


def test_weights_are_found_behind_what_reshapes_them() -> None:
    assert weights(network()) == (("w1", "b1"), ("w2",))


def test_only_what_is_named_changes_and_keeps_its_values() -> None:
    model = network()
    before, after = values(model), values(redrawn(model, ["w1"], seed=0))
    assert after["w1"].dtype == np.int8
    assert not np.array_equal(after["w1"], before["w1"])
    assert np.array_equal(np.sort(after["w1"].ravel()), np.sort(before["w1"].ravel()))
    assert all(np.array_equal(after[name], before[name]) for name in before if name != "w1")
    assert all(np.array_equal(each, before[name]) for name, each in values(model).items())


def test_more_names_draw_the_first_ones_alike() -> None:
    one, two = (values(redrawn(network(), names, seed=3)) for names in (["w2"], ["w2", "w1"]))
    assert np.array_equal(one["w2"], two["w2"])
    assert not np.array_equal(one["w1"], two["w1"])
