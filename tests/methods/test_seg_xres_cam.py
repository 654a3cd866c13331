"""Seg-XRes-CAM against a slow twin in NumPy, and its two ends: HiResCAM and Grad-CAM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.testing import assert_allclose
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import UsageError

X = image()
TARGET = 2
Array = np.ndarray


def pooled(g: Array, window: int, pool: str) -> Array:
    """Return the gradients with each window's own number between the windows' middles, position by position."""
    how = np.max if pool == "max" else np.mean
    starts = [range(0, size, window) for size in g.shape[1:]]
    coarse = np.array(
        [[[how(k[i : i + window, j : j + window]) for j in starts[1]] for i in starts[0]] for k in g], np.float64
    )
    middles = [[(s + min(s + window, n)) / 2 for s in each] for each, n in zip(starts, g.shape[1:], strict=True)]
    found = np.zeros(g.shape)
    for k, i, j in np.ndindex(g.shape):
        down = [np.interp(i + 0.5, middles[0], coarse[k, :, column]) for column in range(len(starts[1]))]
        found[k, i, j] = np.interp(j + 0.5, middles[1], down)
    return found


@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 99])
@pytest.mark.parametrize("layer", ["a1", "a3"])
def test_map_follows_its_formula(tiny: onnxsal.Model, net: TinyNet, layer: str, window: int, pool: str) -> None:
    a, g = net.forward(X)[layer], net.gradients(X, TARGET)[layer]
    wanted = np.maximum((pooled(g, window, pool) * a).sum(0), 0)
    found = onnxsal.explain(tiny, X, method="seg-xres-cam", layer=layer, target=TARGET, window=window, pool=pool)
    assert wanted.max() > 0
    assert_allclose(found.raw, wanted, rtol=1e-4, atol=1e-5 * wanted.max())


def test_its_ends_are_hirescam_and_grad_cam(tiny: onnxsal.Model) -> None:
    ends: dict[str, dict[str, Any]] = {"hirescam": {"window": 1}, "grad-cam": {"window": 99, "pool": "mean"}}
    for other, options in ends.items():
        found = onnxsal.explain(tiny, X, method="seg-xres-cam", layer="a2", target=TARGET, **options)
        wanted = onnxsal.explain(tiny, X, method=other, layer="a2", target=TARGET)
        assert_allclose(found.raw, wanted.raw, rtol=1e-5, atol=1e-6 * wanted.raw.max())


def test_the_default_is_the_greatest_of_four_by_four(tiny: onnxsal.Model) -> None:
    found = onnxsal.explain(tiny, X, method="seg-xres-cam", layer="a1", target=TARGET)
    named = onnxsal.explain(tiny, X, method="seg-xres-cam", layer="a1", target=TARGET, window=4, pool="max")
    np.testing.assert_array_equal(found.raw, named.raw)


def test_it_is_a_file_as_well(tiny: onnxsal.Model) -> None:
    made = onnxsal.compile(tiny, method="seg-xres-cam", layer="a2", target=TARGET, window=3, give="raw")
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    raw = session.run(["raw"], {session.get_inputs()[0].name: X[None].astype(np.float32)})[0][0]
    wanted = onnxsal.explain(tiny, X, method="seg-xres-cam", layer="a2", target=TARGET, window=3)
    assert_allclose(raw, wanted.raw, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{"window": 0}, {"window": 2.5}, {"pool": "median"}])
def test_options_that_are_none(tiny: onnxsal.Model, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        onnxsal.explain(tiny, X, method="seg-xres-cam", target=TARGET, **options)


def test_a_layer_whose_gradient_several_branches_add_to() -> None:
    """Nothing tells the gradient's size there; it is the layer's. With windows of one position it is HiResCAM."""
    model = onnxsal.load(Path(__file__).parents[2] / "models" / "detector.onnx")
    picture = Path(__file__).parents[2] / "models" / "demo_boxes.png"
    found, wanted = (onnxsal.explain(model, picture, method=name, **options) for name, options in
                     (("seg-xres-cam", {"window": 1}), ("hirescam", {})))  # fmt: skip
    np.testing.assert_allclose(found.saliency, wanted.saliency, atol=1e-6)
    assert found.saliency.max() == 1
