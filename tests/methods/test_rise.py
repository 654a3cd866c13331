"""RISE against a slow twin written pixel by pixel, closed forms, its own error, and its seed."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.methods.rise import coarse_masks

SIZE = (8, 10)
R = np.random.default_rng(3)
WEIGHTS = R.normal(0, 0.4, (3 * SIZE[0] * SIZE[1], 4)).astype(np.float32)
BIAS = np.array([0.1, -0.2, 0.3, 0.0], np.float32)
IMAGE = R.normal(size=(3, *SIZE)).astype(np.float32)


def classifier(weights: np.ndarray = WEIGHTS, bias: np.ndarray = BIAS) -> onnxsal.Model:
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, *SIZE])],
        [helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, ["N", len(bias)])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnxsal.load(model, preprocess="unit")


MODEL = classifier()


def masks(
    seed: int, start: int, stop: int, size: tuple[int, int] = SIZE, *, grid: int = 7, p: float = 0.5
) -> np.ndarray:
    return coarse_masks(10000, grid, p).make(seed, start, stop, size)


def slow_mask(seed: int, k: int, size: tuple[int, int], grid: int, p: float) -> np.ndarray:
    """Mask k by the words of the paper: enlarge the grid to (grid + 1) cells, pixel by pixel, then crop."""
    rng = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, k]))
    cells = rng.random((grid, grid)) < p
    cell = [math.ceil(n / grid) for n in size]
    shift = [int(rng.integers(c)) for c in cell]
    out = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            y, x = (
                min(max((t + s + 0.5) * grid / ((grid + 1) * c) - 0.5, 0), grid - 1)
                for t, s, c in zip((i, j), shift, cell, strict=True)
            )
            top, left = min(int(y), grid - 2), min(int(x), grid - 2)
            dy, dx = y - top, x - left
            out[i, j] = (
                (1 - dy) * (1 - dx) * cells[top, left]
                + (1 - dy) * dx * cells[top, left + 1]
                + dy * (1 - dx) * cells[top + 1, left]
                + dy * dx * cells[top + 1, left + 1]
            )
    return out


def slow_rise(target: int, samples: int, seed: int, grid: int = 7, p: float = 0.5) -> np.ndarray:
    total, weight = np.zeros(SIZE), np.zeros(SIZE)
    for k in range(samples):
        mask = slow_mask(seed, k, SIZE, grid, p)
        logits = (IMAGE * mask).reshape(-1).astype(np.float64) @ WEIGHTS + BIAS
        probability = np.exp(logits) / np.exp(logits).sum()
        total += probability[target] * mask
        weight += mask
    return total / weight


@pytest.mark.parametrize(("grid", "p"), [(7, 0.5), (3, 0.2), (12, 0.8)])
def test_masks_are_those_of_the_slow_twin(grid: int, p: float) -> None:
    slow = np.stack([slow_mask(11, k, SIZE, grid, p) for k in range(4, 9)])
    np.testing.assert_allclose(masks(11, 4, 9, grid=grid, p=p), slow, atol=1e-6)


def test_a_mask_is_the_same_in_any_batch_and_another_under_another_seed() -> None:
    whole = masks(1, 0, 6)
    np.testing.assert_array_equal(np.concatenate([masks(1, 0, 1), masks(1, 1, 6)]), whole)
    assert not np.array_equal(masks(2, 0, 6), whole)


def test_the_mean_mask_is_p_everywhere() -> None:
    many = masks(0, 0, 4000, (21, 14), p=0.3)
    error = many.std(axis=0) / math.sqrt(len(many))
    assert (np.abs(many.mean(axis=0) - 0.3) < 5 * error).all()


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_map_is_that_of_the_slow_twin(batch_size: int) -> None:
    found = onnxsal.explain(MODEL, IMAGE, method="rise", target=2, samples=60, seed=9, batch_size=batch_size)
    np.testing.assert_allclose(found.raw, slow_rise(2, 60, 9), rtol=2e-5)
    assert found.manifest["score"] == "probability"
    assert (found.manifest["forwards"], found.manifest["backwards"]) == (60, 0)


def test_the_same_seed_gives_the_same_map_and_another_another() -> None:
    first, again, other = (
        onnxsal.explain(MODEL, IMAGE, method="rise", target=0, samples=40, seed=s).raw for s in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_the_standard_error_is_the_spread_over_seeds() -> None:
    runs = [onnxsal.explain(MODEL, IMAGE, method="rise", target=1, samples=80, seed=s) for s in range(30)]
    spread = np.stack([r.raw for r in runs]).std(axis=0, ddof=1)
    claimed = np.stack([r.stderr for r in runs]).mean(axis=0)
    assert claimed.shape == SIZE
    assert 0.8 < np.sqrt((claimed**2).mean() / (spread**2).mean()) < 1.25


def test_a_score_that_sees_one_place_peaks_there() -> None:
    """Logit 0 is the sum over one 2 x 2 patch: no other place is worth more."""
    weights = np.zeros((3, *SIZE, 2), np.float32)
    weights[:, 5:7, 2:4, 0] = 2
    model = classifier(weights.reshape(-1, 2), np.zeros(2, np.float32))
    bright = np.ones((3, *SIZE), np.float32)
    found = onnxsal.explain(model, bright, method="rise", target=0, samples=600, score="logit").saliency
    y, x = np.unravel_index(found.argmax(), SIZE)
    assert 4 <= y <= 7
    assert 1 <= x <= 4


def test_a_constant_score_is_the_map_everywhere() -> None:
    model = classifier(np.zeros_like(WEIGHTS), BIAS)
    share = np.exp(BIAS)[3] / np.exp(BIAS).sum()
    found = onnxsal.explain(model, IMAGE, method="rise", target=3, samples=30)
    np.testing.assert_allclose(found.raw, share, rtol=1e-5)
    np.testing.assert_allclose(found.stderr, 0, atol=1e-6)


@pytest.mark.parametrize("options", [{"samples": 0}, {"grid": 1}, {"p": 0.0}, {"p": "half"}, {"sampels": 3}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        onnxsal.explain(MODEL, IMAGE, method="rise", **options)
