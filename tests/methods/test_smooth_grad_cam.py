"""Smooth Grad-CAM++ against NumPy: the derivatives' means, the presets, and the choice of maps and neurons."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.kernels.noise import normal
from onnxsal.methods.smooth_grad_cam import neuron_mask

X = image()
N, LEVEL, SEED = 6, 0.2, 4
COMMON = {"method": "smooth-grad-cam++", "layer": "a2", "target": 1}


def weights(net: TinyNet, preset: str) -> tuple[np.ndarray, np.ndarray]:
    """alpha ReLU(D1) and the clean activation, [K, h, w]."""
    sigma = LEVEL * np.ptp(X).astype(float)
    g = [
        net.gradients(X + sigma * normal(SEED, 0, i, X.size).reshape(X.shape), 1)["a2"] for i in range(N)
    ]  # fmt: skip
    d1, d2, d3 = (np.mean([each**n for each in g], axis=0) for n in (1, 2, 3))
    a = net.forward(X)["a2"]
    third = (a * d3).sum((1, 2), keepdims=True) if preset == "product" else a.sum((1, 2), keepdims=True) * d3
    below = 2 * d2 + third
    alpha = np.divide(d1 if preset == "printed" else d2, below, out=np.zeros_like(below), where=below != 0)
    return alpha * np.maximum(d1, 0), a


def combined(w: np.ndarray, a: np.ndarray) -> np.ndarray:
    return np.maximum((w.sum((1, 2), keepdims=True) * a).sum(0), 0)


@pytest.mark.parametrize("preset", ["derived", "product", "printed"])
def test_map_is_made_of_the_mean_derivatives(tiny: onnxsal.Model, net: TinyNet, preset: str) -> None:
    found = onnxsal.explain(tiny, X, **COMMON, samples=N, noise=LEVEL, seed=SEED, preset=preset, batch_size=4)
    wanted = combined(*weights(net, preset))
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-4 * wanted.max())
    assert found.manifest["variant"]["preset"] == preset


def test_the_presets_differ(net: TinyNet) -> None:
    maps = [combined(*weights(net, preset)) for preset in ("derived", "product", "printed")]
    assert not np.allclose(maps[0], maps[1], rtol=1e-3)
    assert not np.allclose(maps[0], maps[2], rtol=1e-3)


def test_one_sample_without_noise_is_grad_cam_pp(tiny: onnxsal.Model) -> None:
    smooth = onnxsal.explain(tiny, X, **COMMON, samples=1, noise=0.0)
    plain = onnxsal.explain(tiny, X, **COMMON | {"method": "grad-cam++"})
    assert_allclose(smooth.raw, plain.raw, rtol=1e-5, atol=1e-6 * plain.raw.max())


def test_chosen_maps_are_shown_alone(tiny: onnxsal.Model, net: TinyNet) -> None:
    found = onnxsal.explain(tiny, X, **COMMON, samples=N, noise=LEVEL, seed=SEED, maps=(4, 1))
    w, a = weights(net, "derived")
    wanted = combined(w[[4, 1]], a[[4, 1]])
    assert wanted.max() > 0
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-4 * wanted.max())


@pytest.mark.parametrize("neurons", ["1:5,2:6", [(1, 4), (2, 3), (4, 1)], "1,4 2,3 4,1"])
def test_chosen_neurons_are_shown_alone(tiny: onnxsal.Model, net: TinyNet, neurons: object) -> None:
    found = onnxsal.explain(tiny, X, **COMMON, samples=N, noise=LEVEL, seed=SEED, neurons=neurons)
    shown = neuron_mask(neurons, (6, 6))
    w, a = weights(net, "derived")
    wanted = combined(w * shown, a) * shown
    assert wanted.max() > 0
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-4 * wanted.max())
    assert (found.raw[~shown] == 0).all()


def test_boxes_and_positions() -> None:
    box = np.zeros((4, 5), bool)
    box[1:3, 2:5] = True
    assert_array_equal(neuron_mask("1:3,2:5", (4, 5)), box)
    assert_array_equal(neuron_mask("1:3, 2:", (4, 5)), box)
    assert_array_equal(np.argwhere(neuron_mask([(0, 1), (3, 4)], (4, 5))), [[0, 1], [3, 4]])
    assert_array_equal(np.argwhere(neuron_mask("[[0, 1], [3, 4]]", (4, 5))), [[0, 1], [3, 4]])
    assert neuron_mask(None, (4, 5)).all()
    assert neuron_mask(":,:", (4, 5)).all()


@pytest.mark.parametrize(
    "wrong", ["2:2,0:3", "0:9,0:2", "0:2,0:6", "7:,:", "4,0", "-1,0", "1,2,3", [], "here", [(0, 5)], 3.5, [(0.5, 1)]]
)
def test_neurons_that_are_not_there_are_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match="4 x 5"):
        neuron_mask(wrong, (4, 5))


@pytest.mark.parametrize("wrong", [(7,), (-1,), ()])
def test_maps_that_are_not_there_are_refused(tiny: onnxsal.Model, wrong: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="0 to 6"):
        onnxsal.explain(tiny, X, **COMMON, maps=wrong)


def test_maps_and_neurons_come_from_text_too(tiny: onnxsal.Model) -> None:
    text = onnxsal.explain(tiny, X, **COMMON, samples=2, maps="4,1", neurons="1:5,2:6")
    plain = onnxsal.explain(tiny, X, **COMMON, samples=2, maps=(4, 1), neurons="1:5,2:6")
    assert_array_equal(text.raw, plain.raw)
