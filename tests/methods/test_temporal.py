"""Temporal saliency rescaling against its definition, covered part by part in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError

C, T = 3, 8
W = np.random.default_rng(0).normal(0, 1, (C, 3)).astype(np.float32)
X = np.random.default_rng(1).normal(0, 1, (C, T)).astype(np.float32)


def model() -> onnx.ModelProto:
    """y = (sum of a convolution over time, squared)."""
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 8] x) => (float[B, 1] y)
        <int64[2] axes = {1, 2}>
        { f = Conv <kernel_shape = [3], pads = [1, 1]> (x, w) s = Mul (f, f) c = Mul (s, f)
          t = ReduceSum <keepdims = 0> (c, axes) a = Constant <value_ints = [-1, 1]> () y = Reshape (t, a) }"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(W[None], "w"))
    return proto


def relevance(x: np.ndarray, *, times: bool) -> np.ndarray:
    """Return the gradient of the sum of f cubed, in float64, or x times that."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1)))
    f = sum(W[:, k].astype(np.float64) @ padded[:, k : k + T] for k in range(3))
    back = np.pad(3 * f**2, 1)
    g = sum(W[:, k : k + 1] * back[None, 2 - k : 2 - k + T] for k in range(3))
    return g * x if times else g


def rescaled(windows: int, groups: int, alpha: float, *, times: bool) -> np.ndarray:
    whole, found = relevance(X, times=times), np.zeros((C, T))
    step, size = -(-T // windows), -(-C // groups)
    change = {}
    for t in range(0, T, step):
        covered = X.copy()
        covered[:, t : t + step] = 0
        change[t] = np.abs(relevance(covered, times=times) - whole).sum()
    for t in change:
        for c in range(0, C, size) if change[t] > alpha * max(change.values()) else ():
            covered = X.copy()
            covered[c : c + size, t : t + step] = 0
            found[c : c + size, t : t + step] = change[t] * np.abs(relevance(covered, times=times) - whole).sum()
    return found


@pytest.mark.parametrize(
    ("inner", "windows", "groups", "alpha"),
    [("gradient", None, None, 0.0), ("input-x-gradient", None, None, 0.5), ("gradient", 3, 2, 0.2)],
)
def test_the_map_is_that_of_the_definition(
    inner: str, windows: int | None, groups: int | None, alpha: float, tmp_path: Path
) -> None:
    options = {"inner": inner, "windows": windows, "groups": groups, "alpha": alpha}
    given = {name: value for name, value in options.items() if value is not None}
    loaded = onnxsal.load(model(), task="regression")
    found = onnxsal.explain(loaded, X, method="temporal-saliency-rescaling", **given)
    expected = rescaled(windows or T, groups or C, alpha, times=inner != "gradient")
    np.testing.assert_allclose(found.raw, expected, rtol=1e-3, atol=1e-4 * expected.max())
    made = onnxsal.compile(loaded, method="temporal-saliency-rescaling", **given)
    onnx.save(made, tmp_path / "tsr.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "tsr.onnx")
    (saliency,) = session.run(["saliency"], {session.get_inputs()[0].name: X[None]})
    np.testing.assert_allclose(saliency[0], found.saliency, atol=1e-4)


def test_methods_of_many_runs_and_of_layers_are_refused() -> None:
    loaded = onnxsal.load(model(), task="regression")
    for inner, layer in (("integrated-gradients", None), ("grad-cam", "f")):
        with pytest.raises(UnsupportedError, match=r"temporal-saliency-rescaling (runs|is of)"):
            onnxsal.explain(loaded, X, method="temporal-saliency-rescaling", inner=inner, layer=layer)
