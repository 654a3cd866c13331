"""Maps from the scores of some masks: against kriging's own equations, the plain sum, and what is said of the error."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.records import Foreseen, Moments
from onnxsal.streaming.foresight import Foresight, View
from onnxsal.streaming.links import weighed, weights
from onnxsal.streaming.process import Process
from onnxsal.streaming.sparing import Spared, Sparing, spread

Array = np.ndarray
K, MAPS = 96, 96
MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 3, 12, 12] x, float[96, 3, 3, 3] w, float[3, 96] v) => (float[N, 3] p) {
  a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w)
  r = Relu(a)
  m = GlobalAveragePool(r)
  f = Flatten(m)
  y = Gemm <transB = 1> (f, v)
  p = Softmax(y)
}"""
HOW: dict[str, Any] = {"method": "score-cam", "layer": "r", "target": 1}


def masks(seed: int) -> Array:
    """Smooth random masks in [0, 1], as the maps of a layer are."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*[np.arange(5)] * 2, indexing="ij"), -1).reshape(-1, 2)
    near = np.exp(-np.square(places[:, None] - places).sum(-1) / 3)
    found = np.exp(rng.normal(size=(K, 25)) @ np.linalg.cholesky(near + 1e-6 * np.eye(25)).T)
    low, high = found.min(axis=1, keepdims=True), found.max(axis=1, keepdims=True)
    return np.asarray((found - low) / (high - low)).reshape(K, 5, 5)


def test_the_process_solves_kriging_s_equations() -> None:
    """Cressie 1993, section 3.4.5: the same means and variances from one system with a multiplier for the constant."""
    process, drawn = Process(masks(0)), np.arange(0, 60, 2)
    values = np.sin(3 * masks(0)[drawn].mean(axis=(1, 2)))
    process.fit(drawn, values)
    found, prior, one = process.posterior(drawn, values), process.prior, np.ones((len(drawn), 1))
    system = np.block([[prior[np.ix_(drawn, drawn)], one], [one.T, np.zeros((1, 1))]])
    right = np.vstack([prior[drawn], np.ones(K)])
    solved = np.linalg.solve(system, right)
    assert_allclose(found.mean, values @ solved[:-1], rtol=1e-5, atol=1e-6)
    wanted = found.scale * (np.diag(prior) - (solved * right).sum(axis=0))
    assert_allclose(found.variance, wanted, rtol=1e-4, atol=1e-6 * found.scale)
    some, others = np.array([1, 5, 90]), np.array([3, 1, 95, 7])
    across = found.scale * (prior - right.T @ solved)
    assert_allclose(found.covariance(some, others), across[np.ix_(some, others)], rtol=1e-4, atol=1e-6)
    assert_allclose(found.times(others, np.eye(4)), across[np.ix_(others, others)], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [Foreseen(), Foreseen(softmax=True), Foreseen((0.0, 1.0))])
def test_the_error_is_that_of_maps_drawn_from_what_is_known(kind: Foreseen) -> None:
    view = seen(kind, masks(1), np.arange(0, 64, 2), scale=0.05)
    rest, rng = view.rest, np.random.default_rng(0)
    covariance = view.posterior.covariance(rest, rest)
    latents = rng.multivariate_normal(view.posterior.mean[rest], covariance, 4000, method="cholesky")
    counts = np.tile(view.counts, (len(latents), 1))
    counts[:, rest] = weighed(kind, from_line(kind, latents), view.peak)
    maps = counts @ view.maps / (counts.sum(axis=1, keepdims=True) if kind.softmax else 1)
    assert_allclose(np.trace(view.error), maps.var(axis=0).sum(), rtol=0.08)
    middle = view.counts @ view.maps / (view.counts.sum() if kind.softmax else 1)
    assert np.linalg.norm(maps.mean(axis=0) - middle) <= 0.1 * np.sqrt(np.trace(view.error))


def from_line(kind: Foreseen, latents: Array) -> Array:
    return latents if kind.ends is None else np.asarray(1.002 / (1 + np.exp(-latents)) - 0.001)


def seen(kind: Foreseen, shapes: Array, drawn: Array, scale: float = 1.0) -> View:
    """What scores of some masks say: smooth in the mask, and between the ends where there are any."""
    line = scale * np.random.default_rng(2).normal(size=25) @ shapes.reshape(K, 25).T
    foresight = Foresight(kind, shapes, shapes)
    return foresight.look(drawn, from_line(kind, line)[drawn])


def test_the_next_masks_take_most_off_the_error() -> None:
    """One by one, by conditioning the whole covariance on each candidate in turn."""
    view, rest = seen(Foreseen(), masks(3), np.arange(0, 40, 2)), None
    rest = view.rest
    covariance, wanted = view.posterior.covariance(rest, rest), []
    for _ in range(4):
        left = [
            np.trace(view.pulls.T @ (covariance - np.outer(c, c) / max(c[i], 1e-300)) @ view.pulls)
            for i, c in enumerate(covariance)
        ]
        best = int(np.argmin(np.where(np.isin(rest, wanted), np.inf, left)))
        wanted.append(int(rest[best]))
        covariance = covariance - np.outer(covariance[best], covariance[best]) / covariance[best, best]
    assert view.next(4).tolist() == wanted


def test_quadrature_gives_the_lognormal_s_moments() -> None:
    mean, variance = np.array([-1.0, 0.5]), np.array([0.04, 0.3])
    found = weights(Foreseen(softmax=True), mean, variance, 0.0)
    assert_allclose(found.mean, np.exp(mean + variance / 2), rtol=1e-6)
    assert_allclose(found.variance, (np.exp(variance) - 1) * np.exp(2 * mean + variance), rtol=1e-4)
    assert_allclose(found.slope, found.mean, rtol=1e-6)


def test_masks_that_are_the_same_have_one_score() -> None:
    shapes = masks(4)
    shapes[50:] = 0
    view = seen(Foreseen(), shapes, np.arange(0, 60, 2))
    assert_allclose(view.counts[50:], view.counts[50], rtol=1e-5, atol=1e-6)
    assert view.posterior.variance[51] < 1e-6 * view.posterior.variance[1]


def run(kind: Foreseen, shapes: Array, scores: Array, stages: int) -> tuple[Spared, Array]:
    """Score stage by stage, and return the sums and the map."""
    order = Sparing(kind, shapes.astype(np.float32), shapes.astype(np.float32), 1)
    sums, start = Spared(Moments(("score",), per="mask"), order, K), 0
    for stage in range(stages):
        some = order.masks[start : order.known]
        sums.add({"score": scores[some]}, order.samples[start : order.known], some)
        start = order.known
        if stage + 1 < stages:
            order.settle(*sums.so_far())
    return sums, sums.totals()["mean/score"] @ shapes.reshape(K, -1)


def test_what_is_stated_holds() -> None:
    """Twelve worlds whose scores are few masks' alone, a third of them scored: the norm of the error is below what is
    stated in all but one at most, and not by orders of magnitude."""
    shares = []
    for seed in range(12):
        rng, shapes = np.random.default_rng(seed), masks(100 + seed)
        line = 6 * (shapes.reshape(K, 25) @ rng.normal(size=25)) / 2 - 3 + 0.3 * rng.normal(size=K)
        scores = 1 / (1 + np.exp(-line))
        sums, found = run(Foreseen((0.0, 1.0)), shapes, scores, 3)
        wanted, error = scores @ shapes.reshape(K, -1), sums.error()
        assert error is not None
        shares.append(np.linalg.norm(found - wanted) / np.sqrt(np.trace(error)))
    assert sorted(shares)[-2] <= 1
    assert 0.1 < np.sqrt(np.mean(np.square(shares))) < 0.9


@pytest.mark.parametrize(("deviations", "wanted"), [(0, 0.6667), (3, 2.3333)])
def test_what_was_foreseen_too_well_or_too_badly_scales_what_is_said(deviations: float, wanted: float) -> None:
    """Eight scores, all as far off as that: against eight that the process' own word counts, those at 0.8."""
    shapes = masks(7)
    order = Sparing(Foreseen(), shapes.astype(np.float32), shapes.astype(np.float32), 1)
    counts, sums = np.zeros(K), np.random.default_rng(7).normal(size=25) @ shapes.reshape(K, 25).T
    counts[order.masks] = 1
    before = order.look(counts, sums * counts)
    order.settle(counts, sums * counts)
    new = order.masks[16:]
    root = np.linalg.cholesky(before.posterior.covariance(new, new) + 1e-12 * np.eye(8))
    sums[new] = before.posterior.mean[new] + deviations * root @ np.ones(8)
    counts[new] = 1
    order.look(counts, sums * counts)
    assert_allclose(order.widening, wanted, rtol=1e-3)
    assert_allclose(wanted**2, (0.8 * 8 + deviations**2 * 8) / (0.8 * 8 + 8), rtol=1e-3)


def test_a_linear_score_is_foreseen_exactly() -> None:
    shapes = masks(5)
    scores = 0.3 + 0.01 * np.random.default_rng(5).normal(size=25) @ shapes.reshape(K, 25).T
    _, found = run(Foreseen(), shapes, scores, 4)  # 40 scores tell 25 cells and a constant
    wanted = scores @ shapes.reshape(K, -1)
    assert np.linalg.norm(found - wanted) < 2e-3 * np.linalg.norm(wanted - scores.mean() * shapes.reshape(K, -1).sum(0))


def test_all_masks_leave_no_error_and_few_do_not_tell_it() -> None:
    shapes, scores = masks(6), np.random.default_rng(6).random(K)
    shapes[70:], scores[70:] = 0, 0.5  # the same masks, which no picture tells apart
    sums, found = run(Foreseen((0.0, 1.0)), shapes, scores, 11)
    assert sums.scored == K
    assert_allclose(found, scores @ shapes.reshape(K, -1), rtol=1e-6)
    assert sums.error().max() == 0
    order = Sparing(Foreseen(), shapes.astype(np.float32), shapes.astype(np.float32), 3)
    few = Spared(Moments(("score",), per="mask"), order, K)
    few.add({"score": scores[:8]}, order.samples[:8], order.masks[:8])
    assert (few.scored, few.error()) == (2, None)  # the third mask has two of its three samples


def test_the_error_of_what_is_made_of_a_map() -> None:
    saliency, error = np.full((1, 2), 9, np.float32), np.array([[0.04, 0.04], [0.04, 0.04]])
    assert_allclose(spread(lambda v: 3 * v, saliency, error), 0.6, rtol=0.2)
    assert_allclose(spread(lambda v: v - v.min(), saliency, error), 0, atol=1e-5)


@pytest.fixture(scope="module")
def wide() -> onnxsal.Model:
    """A model of 96 feature maps."""
    rng, model = np.random.default_rng(0), onnx.parser.parse_model(MODEL)
    for name, shape in {"w": (96, 3, 3, 3), "v": (3, 96)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    del model.graph.input[1:]
    return onnxsal.load(model)


X = np.random.default_rng(1).random((1, 3, 12, 12)).astype(np.float32)


@pytest.mark.parametrize(
    ("more", "heads", "each"),
    [
        ({}, 1, 1),
        ({"preset": "paper"}, 2, 1),
        ({"preset": "torchcam"}, 1, 1),
        ({"method": "is-cam", "samples": 3, "target": 0}, 2, 3),
    ],
)
def test_a_limit_spares_masks(wide: onnxsal.Model, more: dict[str, Any], heads: int, each: int) -> None:
    plain = onnxsal.explain(wide, X, **HOW | more)
    whole = plain.manifest["forwards"]
    assert_array_equal(onnxsal.explain(wide, X, **HOW | more, forwards=whole).raw, plain.raw)
    limit = heads + 40 * each + each - 1  # what is left is no whole mask's
    found = onnxsal.explain(wide, X, **HOW | more, forwards=limit)
    manifest = found.manifest
    assert (manifest["stopped"], manifest["forwards"], manifest["maps_scored"]) == ("forwards", heads + 40 * each, 40)
    assert manifest["maps_foreseen"] == (whole - heads) // each - 40
    assert off(found, plain) <= manifest["relative_error"] == pytest.approx(norm(found.stderr) / norm(found.raw))
    assert_allclose(onnxsal.explain(wide, X, **HOW | more, forwards=limit, batch_size=3).raw, found.raw, rtol=1e-5)
    some = onnxsal.explain(wide, X, **HOW | more, tolerance=2 * manifest["relative_error"])
    assert (some.manifest["stopped"], some.manifest["partial"]) == ("tolerance", False)
    assert off(some, plain) <= some.manifest["relative_error"] <= some.manifest["limits"]["tolerance"]
    assert 48 <= some.manifest["maps_scored"] < (whole - heads) // each
    never = onnxsal.explain(wide, X, **HOW | more, tolerance=1e-8)
    assert_allclose(never.raw, plain.raw, rtol=1e-5, atol=1e-7)
    assert (never.manifest["stopped"], never.manifest["relative_error"]) == (None, 0)


def norm(values: Array) -> float:
    return float(np.linalg.norm(values))


def off(found: onnxsal.Explanation, wanted: onnxsal.Explanation) -> float:
    return norm(found.raw - wanted.raw) / norm(wanted.raw)


def test_targets_and_layers_are_scored_by_their_own_masks(wide: onnxsal.Model) -> None:
    alone = [onnxsal.explain(wide, X, **HOW | {"target": t}, forwards=30).raw for t in (0, 2)]
    both = onnxsal.explain(wide, X, **HOW | {"target": [0, 2]}, forwards=30)
    assert_array_equal([each.raw for each in both], alone)
    fused = onnxsal.explain(wide, X, **HOW | {"layer": ["a", "r"], "target": 0}, forwards=80)
    assert [row["maps_scored"] for row in fused.manifest["by_layer"]] == [39, 39]
    assert fused.manifest["relative_error"] > 0


def test_ctrl_c_and_time_leave_a_map_of_the_masks_so_far(wide: onnxsal.Model) -> None:
    def stops(done: int, total: int) -> None:
        if done >= 30:
            raise KeyboardInterrupt

    how = HOW | {"method": "is-cam", "samples": 3, "seconds": 1e6, "keep_partial": True, "batch_size": 4}
    ended = onnxsal.explain(wide, X, **how, progress=stops).manifest
    assert (ended["stopped"], ended["partial"], ended["maps_scored"]) == ("interrupted", True, 10)
    timed = onnxsal.explain(wide, X, **how | {"seconds": 0, "batch_size": 2}).manifest
    assert (timed["stopped"], timed["maps_scored"], timed["forwards"]) == ("seconds", 1, 6)


def test_too_few_forwards_for_a_mask_are_refused(wide: onnxsal.Model) -> None:
    with pytest.raises(UsageError, match="forwards=4: at least 5, for a mask takes 3 and 2 prepare the draws"):
        onnxsal.explain(wide, X, **HOW | {"method": "is-cam", "samples": 3}, forwards=4)
