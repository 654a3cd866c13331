"""Integrated gradients: quadratures, baselines and completeness against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tinynet import TinyNet, image, linear_weights

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.kernels.blur import gaussian_blur
from onnxsal.kernels.noise import uniform
from onnxsal.methods.integrated import quadrature

X = image()
RULES = ("gauss-legendre", "left", "right", "middle", "trapezoid")
EXACT_DEGREE = {"gauss-legendre": 7, "left": 0, "right": 0, "middle": 1, "trapezoid": 1}


@pytest.mark.parametrize("rule", RULES)
def test_quadrature_is_exact_up_to_its_degree_and_no_further(rule: str) -> None:
    nodes, weights = (np.array(column) for column in quadrature(4, rule))  # type: ignore[arg-type]
    errors = [abs(weights @ nodes**n - 1 / (n + 1)) for n in range(EXACT_DEGREE[rule] + 2)]
    assert max(errors[:-1]) < 1e-12
    assert errors[-1] > 1e-7
    assert weights.sum() == pytest.approx(1)


def by_hand(net: TinyNet, base: np.ndarray, rule: str, steps: int) -> np.ndarray:
    nodes, weights = quadrature(steps, rule)  # type: ignore[arg-type]
    x = X.astype(float)
    path = (w * net.gradients(base + t * (x - base), 1)["x"] for t, w in zip(nodes, weights, strict=True))
    return (x - base) * sum(path)


@pytest.mark.parametrize("rule", RULES)
def test_map_is_the_path_sum(tiny: onnxsal.Model, net: TinyNet, rule: str) -> None:
    found = onnxsal.explain(tiny, X, method="integrated-gradients", target=1, steps=9, rule=rule, batch_size=4)
    wanted = by_hand(net, np.zeros(X.shape), rule, 9)
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    assert found.manifest["forwards"] == 9 + (rule == "trapezoid") + 2
    assert found.manifest["backwards"] == 9 + (rule == "trapezoid")


@pytest.mark.parametrize("steps", [1, 7])
def test_a_linear_model_is_complete_with_any_number_of_steps(flat: onnxsal.Model, steps: int) -> None:
    found = onnxsal.explain(flat, X, method="integrated-gradients", target=2, steps=steps)
    assert_allclose(found.raw, linear_weights()[2] * X, rtol=1e-5, atol=1e-7)
    assert found.manifest["completeness_gap"] < 1e-5


def test_the_gap_is_that_of_the_map_and_shrinks_with_steps(tiny: onnxsal.Model, net: TinyNet) -> None:
    rise = net.score(X, 1, "logit") - net.score(np.zeros(X.shape), 1, "logit")
    gaps = []
    for steps in (2, 300):
        found = onnxsal.explain(tiny, X, method="integrated-gradients", target=1, steps=steps, rule="middle")
        gap = found.manifest["completeness_gap"]
        assert gap == pytest.approx(abs(found.raw.sum() - rise), rel=1e-2, abs=1e-5)
        assert found.manifest["score_rise"] == pytest.approx(rise, rel=1e-4)
        gaps.append(gap)
    assert gaps[1] < 0.1 * gaps[0]


def test_contributions_that_do_not_add_up_are_told(tiny: onnxsal.Model) -> None:
    told = [
        [note for note in found.manifest["notes"] if "take more steps" in note]
        for steps in (1, 300)
        for found in [onnxsal.explain(tiny, X, method="integrated-gradients", target=1, steps=steps, rule="right")]
    ]
    assert [len(each) for each in told] == [1, 0]
    assert "off the score's rise over the baseline" in told[0][0]


def baselines() -> dict[str, tuple[object, np.ndarray]]:
    given = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    share = uniform(7, 0, 0, X.size).reshape(X.shape)
    return {
        "zero": ("zero", np.zeros(X.shape)),
        "blur": ("blur", gaussian_blur(X)),
        "uniform": ("uniform", X.min() + share * np.ptp(X)),
        "array": (given, given),
        "colour": (np.array([0.5, -1, 2]), np.broadcast_to(np.array([0.5, -1, 2])[:, None, None], X.shape)),
        "number": (0.5, np.full(X.shape, 0.5)),
    }


@pytest.mark.parametrize("name", baselines())
def test_every_baseline_is_where_the_path_starts(tiny: onnxsal.Model, net: TinyNet, name: str) -> None:
    option, array = baselines()[name]
    found = onnxsal.explain(tiny, X, method="integrated-gradients", target=1, steps=5, baseline=option, seed=7)
    wanted = by_hand(net, array.astype(float), "gauss-legendre", 5)
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=2e-4 * np.abs(wanted).max())
    assert found.stderr is None


def test_black_is_black_before_the_preprocessing(net: TinyNet) -> None:
    model = onnxsal.load(net.model(), preprocess="imagenet")
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    black = np.broadcast_to(((0 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225])[:, None, None], X.shape)
    found = onnxsal.explain(model, photo, method="integrated-gradients", target=1, steps=3, baseline="black")
    given = onnxsal.explain(model, photo, method="integrated-gradients", target=1, steps=3, baseline=black)
    assert_allclose(found.raw, given.raw, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wrong", ["bleck", np.zeros((3, 5, 5)), np.zeros(2)])
def test_a_baseline_that_does_not_fit_is_refused(tiny: onnxsal.Model, wrong: object) -> None:
    with pytest.raises(UsageError, match="baseline"):
        onnxsal.explain(tiny, X, method="integrated-gradients", baseline=wrong)


@pytest.mark.parametrize("limit", [{"seconds": 1}, {"forwards": 9}, {"tolerance": 0.1}])
def test_a_path_is_not_cut_short(tiny: onnxsal.Model, limit: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="path"):
        onnxsal.explain(tiny, X, method="integrated-gradients", **limit)
