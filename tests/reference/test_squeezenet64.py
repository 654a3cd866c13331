"""The slow twin itself: its gradient against differences of its own forward, its forward against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from squeezenet64 import LAYER, SqueezeNet64, gradient

TARGET = 281


@pytest.fixture(scope="module")
def path(shared: Path) -> Path:
    return shared / "models" / "squeezenet1.0_fp32.onnx"


@pytest.fixture(scope="module")
def net(path: Path) -> SqueezeNet64:
    return SqueezeNet64(path)


def image(side: int) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=60.0, size=(3, side, side))


def test_gradient_is_the_slope_along_a_random_direction(net: SqueezeNet64) -> None:
    x, step = image(96), 1e-6
    direction = np.random.default_rng(1).normal(size=x.shape)
    slope = (net.logits(x + step * direction) - net.logits(x - step * direction))[TARGET] / (2 * step)
    assert np.vdot(gradient(net, x, TARGET), direction) == pytest.approx(slope, rel=1e-6)


def test_probabilities_are_those_of_the_file(net: SqueezeNet64, path: Path) -> None:
    x = image(224)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"data_0": x[None].astype(np.float32)})[0].reshape(-1)
    powers = np.exp(net.logits(x.astype(np.float32)))
    np.testing.assert_allclose(powers / powers.sum(), wanted, rtol=1e-4, atol=1e-7)


def test_gradient_at_the_layer_gives_the_score_back(net: SqueezeNet64) -> None:
    """From the layer on the network is linear where Relu is open, but for the bias of the last convolution."""
    values = net.forward(image(96))
    top = int(values[net.logit_name].argmax())
    g = net.backward(values, top)[LAYER]
    bias = net.weights["conv10_b_0"][top] * (values["conv10_1"][top] > 0).mean()
    assert values[net.logit_name][top, 0, 0] > 1
    assert np.vdot(g, values[LAYER]) + bias == pytest.approx(values[net.logit_name][top, 0, 0], rel=1e-12)


def test_guided_passes_a_part_of_the_gradient_on(net: SqueezeNet64) -> None:
    values = net.forward(image(96))
    plain, guided = (net.backward(values, TARGET, rules) for rules in ("plain", "guided"))
    assert (guided["conv1_1"] >= 0).all()
    np.testing.assert_array_equal(guided["conv10_1"], np.maximum(plain["conv10_1"], 0))
