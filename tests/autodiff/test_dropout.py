"""Dropout in training mode: the gradient is that of the run, in ONNX Runtime and in the reference evaluator."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from checker import gradient_model, run_ort, run_reference

X = np.array([[-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, 0.0, 4.0]], np.float32)
G = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]], np.float32)


def model(body: str, opset: int = 17) -> onnx.ModelProto:
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g (float[1,8] x) => (float[1,8] y)'
    return onnx.parser.parse_model(f"{text} <float half = {{0.5}}, bool train = {{1}}, float two = {{2}}> {{ {body} }}")


@pytest.mark.parametrize("opset", [12, 13, 17, 21, 22])
def test_between_other_nodes_nothing_is_dropped(opset: int) -> None:
    """ONNX Runtime removes the node: a central difference of the file itself is 2, at zero as anywhere."""
    proto = model("a = Mul(x, two) d = Dropout(a, half, train) y = Add(d, two)", opset)
    up, down = (run_ort(proto, {"x": X + step})["y"] for step in (0.25, -0.25))
    np.testing.assert_array_equal(up - down, np.full_like(X, 1.0))
    results = run_ort(gradient_model(proto, ["y"], ["x"]), {"x": X, "seed/y": G})
    np.testing.assert_array_equal(results["grad/x"], 2 * G)
    np.testing.assert_array_equal(results["y"], 2 * X + 2)


@pytest.mark.parametrize("run", [run_ort, run_reference])
def test_where_it_drops_the_mask_is_the_runs_own(run) -> None:  # type: ignore[no-untyped-def]
    """Kept elements are doubled and have twice the gradient, dropped ones none; at 0 it is that of the mean."""
    proto = gradient_model(model("y = Dropout(x, half, train)"), ["y"], ["x"])
    for _ in range(4):
        results = run(proto, {"x": X, "seed/y": G})
        kept = results["y"] != 0
        np.testing.assert_array_equal(results["y"][kept], 2 * X[kept])
        expected = np.where(X == 0, G, np.where(kept, 2 * G, 0))
        np.testing.assert_array_equal(results["grad/x"], expected)


@pytest.mark.parametrize("train", [False, True])
def test_a_mode_that_is_fed(train: bool) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[1,8] x, bool t) => (float[1,8] y) <float half = {0.5}>'
    proto = onnx.parser.parse_model(text + "{ y = Dropout(x, half, t) }")
    feeds = {"x": X, "t": np.array(train), "seed/y": G}
    results = run_ort(gradient_model(proto, ["y"], ["x"]), feeds)
    live = X != 0
    np.testing.assert_allclose(results["grad/x"][live], (G * results["y"])[live] / X[live], rtol=1e-6)
    assert train or np.array_equal(results["grad/x"], G)


def test_the_ratio_of_what_dropped_nothing_has_no_slope() -> None:
    proto = model("a = Mul(x, two) d = Dropout(a, half, train) y = Add(d, two)")
    results = run_ort(gradient_model(proto, ["y"], ["half"]), {"x": X, "seed/y": G})
    assert results["grad/half"] == 0
