"""Layers in front of scores that are made of a map: its highest number, its mean, distances to what was learned."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import onnxsal

S = 8
X = np.random.default_rng(0).uniform(0, 1, (1, 3, S, S)).astype(np.float32)
NEAR = "d = Sub (maps, mu) q = Mul (d, d) e = ReduceSum (q, first) "
LAST = "t = Transpose <perm = [0, 2, 3, 1]> (maps) "
BEST = "y = ReduceMax <axes = [1, 2, 3], keepdims = 0> "
ROWS = "y = ReduceMax <axes = [1, 2], keepdims = 0> (m)"

SCORES = {
    "highest distance": f"{NEAR} {BEST} (e)",
    "highest, enlarged": f'{NEAR} u = Resize <mode = "linear"> (e, , , large) {BEST} (u)',
    "mean distance": f"{NEAR} y = ReduceMean <axes = [1, 2, 3], keepdims = 0> (e)",
    "nearest of a bank, then highest": f"{LAST} u = Unsqueeze (t, three) d = Sub (u, bank) q = Mul (d, d) "
    f"e = ReduceSum <keepdims = 0> (q, fourth) m = ReduceMin <axes = [3], keepdims = 0> (e) {ROWS}",
    "nearest by products, then highest": f"{LAST} g = MatMul (t, rows) m = ReduceMax <axes = [3], keepdims = 0> (g) "
    f"{ROWS}",
    "Mahalanobis, highest": "d = Sub (maps, mu) t = Transpose <perm = [0, 2, 3, 1]> (d) g = MatMul (t, square) "
    f"q = Mul (g, t) e = ReduceSum <keepdims = 0> (q, three) m = Sqrt (e) {ROWS}",
    "pooled highest": f"{NEAR} p = GlobalMaxPool (e) y = Flatten (p)",
    "mean of the highest": f"{NEAR} f = Flatten (e) t, i = TopK (f, five) "
    "y = ReduceMean <axes = [1], keepdims = 0> (t)",
    "highest logit": f"c = Conv (maps, one) {BEST} (c)",
    "log-sum-exp": "c = Conv (maps, one) y = ReduceLogSumExp <axes = [1, 2, 3], keepdims = 0> (c)",
}


def model(tail: str, more: str = "") -> onnx.ModelProto:
    """``maps`` is where a change may be added: the input ``delta``."""
    held = "int64[1] first = {1}, int64[1] three = {3}, int64[1] fourth = {4}, int64[1] five = {5}, "
    held += "int64[4] large = {1, 1, 16, 16}"
    taken = f"float[1,3,{S},{S}] x" + (f", float[1,6,4,4] {more}" if more else "")
    text = f'<ir_version: 8, opset_import: ["": 13]> g ({taken}) => (float[N] y) <{held}>'
    last = f"made = Relu (b) maps = Add (made, {more})" if more else "maps = Relu (b)"
    body = f"b = Conv <pads = [1,1,1,1], strides = [2,2]> (x, k) {last} {tail}"
    proto = onnx.parser.parse_model(f"{text} {{ {body} }}")
    rng = np.random.default_rng(1)
    for name, shape in {"k": (6, 3, 3, 3), "mu": (1, 6, 1, 1), "bank": (7, 6), "rows": (6, 7), "square": (6, 6),
                        "one": (1, 6, 1, 1)}.items():  # fmt: skip
        array = rng.normal(0, 1, shape)
        array = array @ array.T + 6 * np.eye(6) if name == "square" else array
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype("f"), name))
    return proto


def grad_cam(tail: str) -> np.ndarray:
    """Grad-CAM at ``maps`` by its formula, gradients by differences in ONNX Runtime."""
    file = model(tail, "delta")
    file.graph.output.append(onnx.helper.make_empty_tensor_value_info("maps"))
    session = onnxruntime.InferenceSession(file.SerializeToString())
    zero = np.zeros((1, 6, 4, 4), np.float32)
    maps, slopes = session.run(["maps"], {"x": X, "delta": zero})[0][0], np.zeros(zero.size)
    for at in range(zero.size):
        step = zero.copy()
        step.flat[at] = 1e-3
        ends = [float(session.run(["y"], {"x": X, "delta": sign * step})[0].reshape(-1)[0]) for sign in (1, -1)]
        slopes[at] = (ends[0] - ends[1]) / 2e-3
    weights = slopes.reshape(6, 4, 4).mean((1, 2))
    return np.maximum((weights[:, None, None] * maps).sum(0), 0)


@pytest.mark.parametrize("name", SCORES)
def test_the_maps_in_front_of_the_score_are_the_layer(name: str) -> None:
    opened = onnxsal.load(model(SCORES[name]), task="regression")
    assert opened.anatomy.layers.find(None).name == (
        "d" if "Mahalanobis" in name else "maps"
    )  # d: maps less a constant
    found = onnxsal.explain(opened, X[0], method="grad-cam", layer="maps")
    expected = grad_cam(SCORES[name])
    assert expected.any()
    np.testing.assert_allclose(found.raw, expected, atol=0.01 * expected.max())
