"""Sobol indices against closed forms of additive and multiplicative scores, a slow twin, and an early end."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxsal_sobol import design, masks

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError

SIZE, GRID = (6, 9), 3
R = np.random.default_rng(2)
WEIGHTS = R.normal(0, 0.3, (3 * SIZE[0] * SIZE[1], 4)).astype(np.float32)
IMAGE = R.normal(size=(3, *SIZE)).astype(np.float32)


def classifier(weights: np.ndarray = WEIGHTS, *between: onnx.NodeProto) -> onnxsal.Model:
    """Softmax of a linear map of the flat picture; ``between`` makes ``logits`` of ``linear``."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["linear" if between else "logits"]),
        *between,
        helper.make_node("Softmax", ["logits"], ["p"]),
    ]
    ends = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, *SIZE]),
        helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, ["N", weights.shape[1]]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnxsal.load(model, preprocess="unit")


MODEL = classifier()
MANY = {"samples": 600, "batch_size": 200}


def by_cell(values: np.ndarray) -> np.ndarray:
    """Sum [..., H, W] over each of 3 x 3 cells of 2 x 3 pixels: [..., 9]."""
    return values.reshape(*values.shape[:-2], GRID, 2, GRID, 3).sum(axis=(-3, -1)).reshape(*values.shape[:-2], -1)


def contributions(target: int) -> np.ndarray:
    """What each cell adds to a logit of the linear model."""
    return by_cell((WEIGHTS[:, target].reshape(3, *SIZE) * IMAGE).astype(np.float64).sum(axis=0))


def explain(model: onnxsal.Model = MODEL, **options: object) -> onnxsal.Explanation:
    return onnxsal.explain(model, IMAGE, **{"method": "sobol", "grid": GRID, "target": 1, **options})


def slow_indices(seed: int, samples: int, target: int) -> np.ndarray:
    """Probability by probability, with loops; masks spread pixel by pixel."""
    a, b = design(seed, samples, GRID**2)

    def score(cells: np.ndarray) -> float:
        mask = np.array([[cells[(i // 2) * GRID + j // 3] for j in range(SIZE[1])] for i in range(SIZE[0])])
        logits = (IMAGE * mask).ravel() @ WEIGHTS.astype(np.float64)
        return float(np.exp(logits[target]) / np.exp(logits).sum())

    whole, found = [score(row) for row in a], np.zeros(GRID**2)
    for i in range(GRID**2):
        for j in range(samples):
            swapped = a[j].copy()
            swapped[i] = b[j, i]
            found[i] += (whole[j] - score(swapped)) ** 2 / (2 * samples)
    return found / np.var(whole, ddof=1)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_map_is_that_of_the_slow_twin(batch_size: int) -> None:
    found = explain(samples=5, seed=4, batch_size=batch_size)
    np.testing.assert_allclose(found.raw.ravel(), slow_indices(4, 5, 1), rtol=1e-4)
    assert found.raw.shape == (GRID, GRID)
    assert (found.manifest["score"], found.manifest["forwards"]) == ("probability", 5 * 10)


def test_an_additive_score_has_the_shares_of_its_terms() -> None:
    """The logit is sum_i c_i m_i with m_i uniform: the variance is sum_i c_i^2 / 12, and each index c_i^2 over it."""
    found, shares = explain(score="logit", **MANY).raw.ravel(), contributions(1) ** 2
    np.testing.assert_allclose(found, shares / shares.sum(), rtol=0.15, atol=0.01)
    assert found.sum() == pytest.approx(1, abs=0.08)


def test_what_cells_do_together_counts_for_each() -> None:
    """Both indices of f = (m_0 + m_1)^2 are over a half: the variance of 2 m_0 m_1 belongs to each."""
    weights = np.zeros((3, *SIZE, 2), np.float32)
    for cell in range(2):
        weights[0, 0, 3 * cell, 0] = 1 / IMAGE[0, 0, 3 * cell]
    square = helper.make_node("Mul", ["linear", "linear"], ["logits"])
    found = explain(classifier(weights.reshape(-1, 2), square), target=0, score="logit", **MANY).raw.ravel()
    # E[f | m_0] = m_0^2 + m_0 + 1/3, whose variance is 61/180; that of f is 127/180.
    np.testing.assert_allclose(found[:2], 1 - 61 / 127, rtol=0.1)
    np.testing.assert_allclose(found[2:], 0, atol=1e-6)


def test_a_constant_score_has_no_index() -> None:
    found = explain(classifier(np.zeros_like(WEIGHTS)), samples=3)
    np.testing.assert_array_equal(found.raw, 0)


def test_every_column_of_the_design_has_one_value_a_step() -> None:
    a, b = design(3, 16, 5)
    for columns in (a, b):
        np.testing.assert_array_equal(np.sort((columns * 16).astype(int), axis=0), np.tile(np.arange(16)[:, None], 5))
    assert np.abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.5


@pytest.mark.parametrize("size", [SIZE, (7, 4), (2, 2)])
def test_masks_are_the_same_in_any_batch(size: tuple[int, int]) -> None:
    how = {"samples": 4, "grid": GRID}
    whole = masks(9, 0, 40, size, **how)
    np.testing.assert_array_equal(np.concatenate([masks(9, 0, 13, size, **how), masks(9, 13, 40, size, **how)]), whole)
    assert whole.shape == (40, *size)
    assert not np.array_equal(masks(8, 0, 40, size, **how), whole)


def test_a_changed_mask_differs_in_its_cell_alone() -> None:
    made = masks(0, 0, 10, SIZE, samples=4, grid=GRID)
    for cell in range(9):
        differs = (made[1 + cell] != made[0]).reshape(GRID, 2, GRID, 3)
        assert differs[cell // GRID, :, cell % GRID].all()
        assert differs.sum() == 6


def test_an_early_end_leaves_out_pairs() -> None:
    """Four pairs that were run to their end, of eight: the same formula over those."""
    few = explain(samples=8, forwards=40, seed=2, batch_size=10)
    a, b = design(2, 8, 9)
    changed = np.repeat(a[:4, None], 9, axis=1)
    changed[:, np.arange(9), np.arange(9)] = b[:4]
    logits = np.stack([contributions(k) for k in range(4)], axis=1)
    scores = [np.exp(m @ logits) for m in (a[:4], changed)]
    whole, moved = (s[..., 1] / s.sum(axis=-1) for s in scores)
    wanted = ((whole[:, None] - moved) ** 2).mean(axis=0) / 2 / whole.var(ddof=1)
    np.testing.assert_allclose(few.raw.ravel(), wanted, rtol=1e-4)
    assert few.manifest["forwards"] == 40


def test_the_same_seed_gives_the_same_map_and_another_another() -> None:
    first, again, other = (explain(samples=4, seed=s).raw for s in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_finer_grid_than_the_picture_leaves_cells_without_index() -> None:
    found = explain(samples=4, grid=8)
    shown = np.zeros((8, 8), bool)
    shown[np.ix_(np.unique(np.arange(6) * 8 // 6), np.unique(np.arange(9) * 8 // 9))] = True
    assert (found.raw[~shown] == 0).all()
    assert (found.raw[shown] > 0).all()


def test_no_graph_can_hold_it() -> None:
    with pytest.raises(UnsupportedError, match="makes its masks in Python"):
        onnxsal.compile(MODEL, method="sobol")


@pytest.mark.parametrize("options", [{"samples": 1}, {"grid": 0}, {"grid": 2.5}, {"sampels": 3}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        explain(**options)


def test_the_cost_is_what_is_run() -> None:
    method = onnxsal.methods()["sobol"]
    assert method.cost.forwards(method.check({}), 0) == 32 * 65
    assert method.cost.backwards(method.check({}), 0) == 0
