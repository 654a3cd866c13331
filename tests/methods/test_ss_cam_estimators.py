"""SS-CAM's estimators: against a slow twin, against each other in the limit, and what they say of their own error."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.testing import assert_allclose
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import UnsupportedError
from onnxsal.explanation.outcome import few_maps
from onnxsal.kernels.noise import Stream, normal
from onnxsal.kernels.resize import bilinear

X, SIZE, TARGET, SEED, K = image(2), (12, 12), 1, 9, 7
HOW: dict[str, Any] = {"method": "ss-cam", "layer": "a2", "target": TARGET, "batch_size": 64}
Array = np.ndarray


def unit(m: Array) -> Array:
    return (m - m.min()) / np.ptp(m)


def score(net: TinyNet, variant: int, mask: Array, draw: int) -> float:
    """The probability of one noisy, masked picture."""
    if variant == 1:
        return net.score(X * (mask + 0.5 * normal(SEED, 0, draw, 144, stream=Stream.MASK).reshape(SIZE)), TARGET, P)
    noise = normal(SEED, 0, draw, X.size).reshape(X.shape)
    return net.score(X * mask + 0.5 * np.ptp(X * mask) * noise, TARGET, P)


P = "probability"


def stage_of_twin(shares: Array, size: int, stage: int) -> list[int]:
    """Masks of one stage: a comb of distance 1, laid at random over the shares in random order, and then shuffled."""
    rng = np.random.default_rng([SEED, 0, stage])
    order = rng.permutation(K)
    comb, bounds = rng.random(), np.append(np.cumsum(shares[order])[:-1] * size, size)
    teeth = [i - comb for i in range(1, size + 1)]
    masks = [int(order[np.searchsorted(bounds, tooth)]) for tooth in teeth]
    return [int(k) for k in rng.permutation(masks)]


def neyman_twin(net: TinyNet, variant: int, per_map: int) -> Array:
    """Stages that end at 1, 2, 4 ... draws a map; every draw adds its deviation over the draws to expect."""
    a = net.forward(X)["a2"].astype(float)
    masks, coarse = [unit(bilinear(m, SIZE).astype(float)) for m in a], np.stack([unit(m) for m in a])
    sizes, cover = np.linalg.norm(a.reshape(K, -1), axis=1), coarse.mean(axis=(1, 2))
    near = np.exp(-np.square(coarse[:, None] - coarse[None]).mean(axis=(2, 3)) / 0.03) + 1e-3
    scores: list[list[float]] = [[] for _ in range(K)]
    foreseen, shares = np.zeros(K), np.full(K, 1 / K)
    total, ends, done, stages = per_map * K, [7, 14, 28, 56], 0, []
    for number, end in enumerate(ends):
        size = min(end, total) - done
        found = foreseen.copy()
        for k in stage_of_twin(shares, size, number):
            scores[k].append(score(net, variant, masks[k], len(scores[k]) * K + k))
            found[k] += (scores[k][-1] - foreseen[k]) / (shares[k] * size)
        stages.append((size * (0.25 if number == 0 else 1), found))
        done += size
        if done == total:
            break
        n, sums = np.array([len(one) for one in scores]), np.array([sum(one) for one in scores])
        others = cover * (near @ sums) / (near @ (n * cover))
        foreseen = (0.2 * others + sums) / (0.2 + n)
        spreads = foreseen * np.sqrt(np.maximum(1 - foreseen, 0.02))
        shares = 0.85 * sizes * spreads / (sizes * spreads).sum() + 0.15 * sizes / sizes.sum()
    weights = sum(w * found for w, found in stages) / sum(w for w, _ in stages)
    return np.asarray(np.maximum((weights[:, None, None] * a).sum(0), 0))


@pytest.mark.parametrize("variant", [1, 2])
def test_neyman_is_its_slow_twin(tiny: onnxsal.Model, net: TinyNet, variant: int) -> None:
    found = onnxsal.explain(tiny, X, **HOW, estimator="neyman", variant=variant, samples=25, seed=SEED)
    wanted = neyman_twin(net, variant, 5)
    assert_allclose(found.raw, wanted, rtol=2e-3, atol=2e-4 * wanted.max())
    assert (found.manifest["samples"], found.manifest["forwards"]) == (5, 5 * K + 1)
    assert found.manifest["variant"]["estimator"] == "neyman"


@pytest.mark.parametrize("variant", [1, 2])
def test_independent_gives_every_forward_noise_of_its_own(tiny: onnxsal.Model, net: TinyNet, variant: int) -> None:
    a = net.forward(X)["a2"]
    masks = [unit(bilinear(m, SIZE).astype(float)) for m in a]
    weights = np.array([np.mean([score(net, variant, masks[k], i * K + k) for i in range(3)]) for k in range(K)])
    found = onnxsal.explain(tiny, X, **HOW, estimator="independent", variant=variant, samples=3, seed=SEED)
    wanted = np.maximum((weights[:, None, None] * a).sum(0), 0)
    assert_allclose(found.raw, wanted, rtol=2e-3, atol=2e-4 * wanted.max())


@pytest.mark.slow("a mean of 300 runs against one of 6000 samples")
@pytest.mark.parametrize("variant", [1, 2])
def test_all_estimators_have_the_same_expectation(tiny: onnxsal.Model, variant: int) -> None:
    """Short runs, averaged, are the long run of the oracle within four of their own standard errors."""
    limit = onnxsal.explain(tiny, X, **HOW, variant=variant, samples=6000, seed=77)
    for estimator in ("independent", "neyman"):
        runs = [
            onnxsal.explain(tiny, X, **HOW, variant=variant, estimator=estimator, samples=20, seed=seed).raw
            for seed in range(150)
        ]
        spread = np.hypot(np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs)), limit.stderr)
        off = (np.mean(runs, axis=0) - limit.raw) / spread
        assert np.abs(off).max() < 4.5, estimator
        assert np.sqrt(np.mean(off**2)) < 2, estimator


def test_without_noise_all_are_score_cam(tiny: onnxsal.Model) -> None:
    whole = onnxsal.explain(tiny, X, method="score-cam", layer="a2", target=TARGET)
    for estimator in ("plain", "independent", "neyman"):
        found = onnxsal.explain(tiny, X, **HOW, estimator=estimator, samples=30, noise=0)
        assert_allclose(found.raw, whole.raw, rtol=1e-5)


def test_in_the_limit_they_agree(tiny: onnxsal.Model) -> None:
    plain, ours = (
        onnxsal.explain(tiny, X, **HOW, estimator=e, samples=n) for e, n in (("plain", 4000), ("neyman", 20000))
    )
    assert np.linalg.norm(plain.raw - ours.raw) < 0.02 * np.linalg.norm(plain.raw)
    assert ours.manifest["relative_error"] < 0.01


@pytest.mark.slow("the truth is two runs of 20000 samples, the share covered takes 60 more")
@pytest.mark.parametrize(("variant", "samples"), [(1, 35), (2, 35), (2, 200)])
def test_intervals_cover_what_they_promise(tiny: onnxsal.Model, variant: int, samples: int) -> None:
    how = {**HOW, "variant": variant, "estimator": "neyman"}
    limit = np.mean([onnxsal.explain(tiny, X, **how, samples=20000, seed=s).raw for s in (900, 901)], axis=0)
    runs = [onnxsal.explain(tiny, X, **how, samples=samples, seed=seed) for seed in range(60)]
    shown = limit > 1e-3 * limit.max()
    covered = np.mean([np.abs(r.raw - limit)[shown] <= 1.96 * np.asarray(r.stderr)[shown] for r in runs])
    assert 0.90 <= covered <= 0.99, covered


def test_batches_change_nothing_and_seeds_do(tiny: onnxsal.Model) -> None:
    maps = [
        onnxsal.explain(
            tiny, X, **HOW | {"batch_size": size}, estimator="neyman", samples=30, seed=seed
        ).raw
        for seed, size in ((5, 1), (5, 4), (5, 32), (6, 4))
    ]  # fmt: skip
    scale = np.abs(maps[0]).max()
    assert_allclose(maps[1], maps[0], rtol=0, atol=1e-6 * scale)
    assert_allclose(maps[2], maps[0], rtol=0, atol=1e-6 * scale)
    assert np.abs(maps[3] - maps[0]).max() > 1e-3 * scale


def test_each_of_several_targets_has_an_allocation_of_its_own(tiny: onnxsal.Model) -> None:
    how = HOW | {"estimator": "neyman", "samples": 30, "seed": 3}
    together = onnxsal.explain(tiny, X, **how | {"target": [0, 1, 4]})
    for found, target in zip(together, (0, 1, 4), strict=True):
        assert_allclose(found.raw, onnxsal.explain(tiny, X, **how | {"target": target}).raw, rtol=1e-6)


@pytest.mark.parametrize("forwards", [4, 5, K, 1 + K, 1 + 2 * K, 1 + 2 * K + 3, 40])
def test_forwards_are_kept_exactly_and_a_larger_budget_begins_the_same_way(tiny: onnxsal.Model, forwards: int) -> None:
    how = HOW | {"estimator": "neyman", "forwards": forwards}
    some, same = (onnxsal.explain(tiny, X, **how, samples=n) for n in (1000, 5000))
    assert some.manifest["forwards"] == same.manifest["forwards"] == forwards
    assert some.manifest["stopped"] == "forwards"
    assert_allclose(some.raw, same.raw, rtol=1e-6)
    assert (some.stderr is None) == (forwards <= 1 + K)  # no map was drawn twice


def test_tolerance_ends_when_the_error_is_small_enough(tiny: onnxsal.Model) -> None:
    found = onnxsal.explain(tiny, X, **HOW | {"batch_size": 4}, estimator="neyman", samples=20000, tolerance=0.05)
    relative = np.linalg.norm(np.asarray(found.stderr)) / np.linalg.norm(found.raw)
    assert relative <= 0.05
    assert (found.manifest["stopped"], found.manifest["partial"]) == ("tolerance", False)
    assert found.manifest["samples"] < 4000


@pytest.mark.parametrize("estimator", ["plain", "independent", "neyman"])
def test_a_run_that_time_ended_is_made_again_by_its_forwards(tiny: onnxsal.Model, estimator: str) -> None:
    """Forwards say exactly what was drawn, also where a sample was not whole."""
    how = HOW | {"batch_size": 4, "estimator": estimator, "samples": 100, "seed": 6}

    def slowly(done: int, total: int) -> None:
        if done >= 30:
            raise KeyboardInterrupt  # as a time limit would end it: between two batches, in the middle of a sample

    ended = onnxsal.explain(tiny, X, **how, progress=slowly, keep_partial=True)
    assert 31 <= ended.manifest["forwards"] <= 33
    assert ended.manifest["partial"]
    again = onnxsal.explain(tiny, X, **how | {"batch_size": 64}, forwards=ended.manifest["forwards"])
    assert_allclose(again.raw, ended.raw, rtol=1e-5)
    assert_allclose(again.stderr, ended.stderr, rtol=1e-3)
    timed = onnxsal.explain(tiny, X, **how, seconds=0)
    again = onnxsal.explain(tiny, X, **how, forwards=timed.manifest["forwards"])
    assert (timed.manifest["stopped"], timed.manifest["forwards"]) == ("seconds", 5)
    assert_allclose(again.raw, timed.raw, rtol=1e-6)


def test_logits_below_zero_are_served(tiny: onnxsal.Model) -> None:
    """Their size says nothing about their spread, so the pilot does not decide; the mean stays that of plain."""
    how = HOW | {"target": 3, "score": "logit", "noise": 0.5}
    limit = onnxsal.explain(tiny, X, **how, samples=4000)
    ours = onnxsal.explain(tiny, X, **how, estimator="neyman", samples=10000)
    assert np.linalg.norm(limit.raw - ours.raw) <= 0.05 * np.linalg.norm(limit.raw)


def test_weights_that_say_nothing_are_named() -> None:
    blind = TinyNet()
    blind.v = np.zeros_like(blind.v)
    noisy = onnxsal.explain(onnxsal.load(blind.model()), X, **HOW, estimator="neyman")
    assert noisy.manifest["weight_reliability"] == 0
    assert any("told from noise" in note for note in noisy.manifest["notes"])


def test_what_depends_on_scores_cannot_be_compiled(tiny: onnxsal.Model) -> None:
    with pytest.raises(UnsupportedError, match="compile with estimator=plain or estimator=independent"):
        onnxsal.compile(tiny, method="ss-cam", layer="a2", estimator="neyman")


@pytest.mark.parametrize("variant", [1, 2])
def test_a_file_numbers_its_noise_as_streaming_does_where_maps_are_flat(variant: int) -> None:
    net = TinyNet()
    net.w[1][[0, 3]], net.b[1][[0, 3]] = 0, (0.0, 0.5)
    model = onnxsal.load(net.model())
    options: dict[str, Any] = {"layer": "a2", "samples": 3, "variant": variant, "seed": 4, "target": TARGET}
    proto = onnxsal.compile(model, method="ss-cam", estimator="independent", give="raw", **options)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(["raw"], {"x": X[None]})[0][0]
    wanted = onnxsal.explain(model, X, method="ss-cam", estimator="independent", **options)
    assert wanted.manifest["forwards"] == 3 * (K - 2) + 1
    assert_allclose(found, wanted.raw, rtol=0, atol=1e-5 * wanted.raw.max())


@pytest.mark.parametrize(("estimator", "told"), [("neyman", True), ("independent", False)])
def test_few_maps_are_told(tiny: onnxsal.Model, estimator: str, told: bool) -> None:
    notes = onnxsal.explain(tiny, X, method="ss-cam", target=1, layer="a2", estimator=estimator).manifest["notes"]
    assert any("estimator=neyman is for hundreds of maps, this layer has 7" in note for note in notes) == told


def test_many_maps_need_no_word() -> None:
    assert few_maps(99)
    assert few_maps(100) == ()
