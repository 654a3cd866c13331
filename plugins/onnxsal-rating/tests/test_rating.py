"""Ratings of a linear grader against what numpy says of it: the mean, its gradient, and what a file says."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError

GRADES, SIZE = 10, (4, 5)
R = np.random.default_rng(6)
WEIGHTS = R.normal(0, 0.3, (3 * SIZE[0] * SIZE[1], GRADES)).astype(np.float32)
IMAGE = R.normal(size=(3, *SIZE)).astype(np.float32)
STEPS = np.arange(1, GRADES + 1)


def grader(last: str = "Softmax") -> onnx.ModelProto:
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node(last, ["logits"], ["p"]),
    ]
    ends = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, *SIZE]),
        helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, ["N", GRADES]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(WEIGHTS, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def load(**how: object) -> onnxsal.Model:
    return onnxsal.load(grader(), preprocess="unit", **{"task": "rating", **how})


def mean_grade(image: np.ndarray = IMAGE) -> float:
    logits = image.ravel().astype(np.float64) @ WEIGHTS
    powers = np.exp(logits - logits.max())
    return float((powers / powers.sum()) @ STEPS)


def slope() -> np.ndarray:
    """Return d mean / dx: sum over grades of k p_k (w_k - sum_j p_j w_j)."""
    logits = IMAGE.ravel().astype(np.float64) @ WEIGHTS
    p = np.exp(logits) / np.exp(logits).sum()
    return ((STEPS * p) @ (WEIGHTS.T - p @ WEIGHTS.T)).reshape(3, *SIZE)


def test_the_mean_grade_is_shown() -> None:
    (shown,) = load().predict(IMAGE)
    assert shown.label == "mean grade"
    assert shown.logit == pytest.approx(mean_grade(), rel=1e-5)


@pytest.mark.parametrize("target", [None, 0, "mean grade"])
def test_its_gradient_is_explained(target: object) -> None:
    found = onnxsal.explain(load(), IMAGE, method="gradient", target=target)
    np.testing.assert_allclose(found.raw, slope(), rtol=1e-4, atol=1e-6)
    assert found.label == "mean grade"
    assert found.logit == pytest.approx(mean_grade(), rel=1e-5)


def test_occlusion_is_what_the_mean_loses() -> None:
    found = onnxsal.explain(load(), IMAGE, method="occlusion", patch=1, stride=1)
    covered = IMAGE.copy()
    covered[:, 2, 3] = 0
    assert found.raw[2, 3] == pytest.approx(mean_grade() - mean_grade(covered), rel=1e-3)


def test_it_is_compiled() -> None:
    file = onnxsal.compile(load(), method="gradient", target=0, sign="absolute")
    session = ort.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["saliency"], {"x": IMAGE[None]})
    wanted = onnxsal.explain(load(), IMAGE, method="gradient", target=0, sign="absolute").saliency
    np.testing.assert_allclose(found[0], wanted, atol=1e-5)


def test_without_a_name_it_is_a_classifier() -> None:
    found = load(task=None)
    assert len(found.predict(IMAGE)) > 1
    assert type(found.task).name == "classification"


def test_another_output_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="'p' is no Softmax over grades"):
        onnxsal.load(grader("Sigmoid"), preprocess="unit", task="rating")


@pytest.mark.parametrize("target", [3, "3", (1, 2)])
def test_another_target_is_refused(target: object) -> None:
    with pytest.raises(UsageError, match="one target"):
        onnxsal.explain(load(), IMAGE, method="gradient", target=target)
