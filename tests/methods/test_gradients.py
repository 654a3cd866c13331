"""Pixel gradients against closed forms of a linear model and the float64 twin of a small network."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tinynet import CHANNELS, TinyNet, image, linear_weights

import onnxsal

X = image()
W = linear_weights()


def test_gradient_of_a_linear_model_is_its_weights(flat: onnxsal.Model) -> None:
    found = onnxsal.explain(flat, X, method="gradient", target=3)
    assert_allclose(found.raw, W[3], rtol=1e-6)


def test_gradient_of_a_pair_is_the_difference(flat: onnxsal.Model) -> None:
    found = onnxsal.explain(flat, X, method="gradient", target=(3, 1))
    assert_allclose(found.raw, W[3] - W[1], rtol=1e-5, atol=1e-7)


def test_gradient_of_a_probability_is_the_softmax_rule(flat: onnxsal.Model) -> None:
    logits = np.tensordot(W.astype(float), X.astype(float), 3) + 0.25
    p = np.exp(logits) / np.exp(logits).sum()
    found = onnxsal.explain(flat, X, method="gradient", target=2, score="probability")
    assert_allclose(found.raw, p[2] * (W[2] - np.tensordot(p, W, 1)), rtol=1e-4, atol=1e-8)


def test_input_x_gradient_of_a_linear_model_adds_up_to_the_logit(flat: onnxsal.Model) -> None:
    found = onnxsal.explain(flat, X, method="input-x-gradient", target=0)
    assert_allclose(found.raw, W[0] * X, rtol=1e-6)
    assert found.raw.sum() == pytest.approx(found.logit - 0.25, rel=1e-4)


@pytest.mark.parametrize(
    ("method", "rules"), [("gradient", "plain"), ("guided-backprop", "guided"), ("deconvnet", "deconv")]
)
def test_rule_sets_follow_their_formula(tiny: onnxsal.Model, net: TinyNet, method: str, rules: str) -> None:
    found = onnxsal.explain(tiny, X, method=method, target=1)
    wanted = net.gradients(X, 1, rules)["x"]
    assert_allclose(found.raw, wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())
    assert found.raw.shape == (CHANNELS, 12, 12)


def test_attnlrp_of_straight_lines_is_input_x_gradient(tiny: onnxsal.Model) -> None:
    found, wanted = (onnxsal.explain(tiny, X, method=name, target=1).raw for name in ("attnlrp", "input-x-gradient"))
    assert_allclose(found, wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())


def test_the_three_rule_sets_differ(net: TinyNet) -> None:
    plain, guided, deconv = (net.gradients(X, 1, rules)["x"] for rules in ("plain", "guided", "deconv"))
    assert not np.allclose(plain, guided)
    assert not np.allclose(guided, deconv)
