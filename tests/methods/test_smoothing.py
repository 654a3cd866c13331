"""The SmoothGrad family against a NumPy loop over the published noise, and its errors against repetition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.kernels.noise import normal
from onnxsal.methods import names

X = image()
SEED, LEVEL, N = 11, 0.2, 7
FAMILY = {
    "smoothgrad": lambda maps: maps.mean(0),
    "smoothgrad-squared": lambda maps: (maps**2).mean(0),
    "vargrad": lambda maps: maps.var(0, ddof=1),
}


def noisy(seed: int = SEED, count: int = N, level: float = LEVEL) -> Iterator[np.ndarray]:
    for i in range(count):
        yield X + level * np.ptp(X).astype(float) * normal(seed, 0, i, X.size).reshape(X.shape)


def gradients(net: TinyNet, **how: object) -> np.ndarray:
    return np.stack([net.gradients(z, 1)["x"] for z in noisy(**how)])  # type: ignore[arg-type]


@pytest.mark.parametrize("method", FAMILY)
def test_moments_are_those_of_a_loop_over_the_noise(tiny: onnxsal.Model, net: TinyNet, method: str) -> None:
    found = onnxsal.explain(tiny, X, method=method, target=1, samples=N, noise=LEVEL, seed=SEED, batch_size=3)
    wanted = FAMILY[method](gradients(net))
    assert_allclose(found.raw, wanted, rtol=2e-3, atol=1e-4 * np.abs(wanted).max())
    assert (found.manifest["samples"], found.manifest["forwards"], found.manifest["backwards"]) == (N, N, N)


def test_error_of_the_mean_is_the_closed_form(tiny: onnxsal.Model, net: TinyNet) -> None:
    found = onnxsal.explain(tiny, X, method="smoothgrad", target=1, samples=N, noise=LEVEL, seed=SEED)
    wanted = gradients(net).std(0, ddof=1) / np.sqrt(N)
    assert found.stderr is not None
    assert_allclose(found.stderr, wanted, rtol=5e-3, atol=1e-4 * wanted.max())


def test_error_of_the_mean_square_by_jackknife_is_its_closed_form(tiny: onnxsal.Model, net: TinyNet) -> None:
    """A mean square is a mean, so leaving one group out at a time has to give what the formula for means gives."""
    how = {"samples": 20, "noise": LEVEL, "seed": SEED}
    found = onnxsal.explain(tiny, X, method="smoothgrad-squared", target=1, **how)
    wanted = (gradients(net, count=20) ** 2).std(0, ddof=1) / np.sqrt(20)
    assert found.stderr is not None
    assert_allclose(found.stderr, wanted, rtol=1e-2, atol=1e-3 * wanted.max())


def test_without_noise_it_is_the_gradient_and_has_no_error(tiny: onnxsal.Model) -> None:
    quiet = onnxsal.explain(tiny, X, method="smoothgrad", target=1, samples=1, noise=0.0)
    plain = onnxsal.explain(tiny, X, method="gradient", target=1)
    assert_allclose(quiet.raw, plain.raw, rtol=1e-5, atol=1e-7)
    assert quiet.stderr is None


INNER = [n for n in names() if n not in FAMILY and n not in ("cam", "eigencam", "rise", "similarity-map", "shapley")]
QUICK = {
    "integrated-gradients": {"steps": 4}, "smooth-grad-cam++": {}, "score-cam": {"top_k": 3}, "is-cam": {"top_k": 2},
    "ss-cam": {"top_k": 2},
}  # fmt: skip


@pytest.mark.parametrize("inner", [*INNER, "cam", "eigencam"])
def test_any_method_can_be_inside(tiny: onnxsal.Model, inner: str) -> None:
    """One sample without noise is the inner method itself; its own noise, where it has some, is another draw."""
    options = QUICK.get(inner, {})
    found = onnxsal.explain(tiny, X, method="smoothgrad", inner=inner, target=1, samples=2, noise=0.0, **options)
    alone = onnxsal.explain(tiny, X, method=inner, target=1, **_own(inner, options))
    if inner not in ("smooth-grad-cam++", "ss-cam"):
        assert_allclose(found.raw, alone.raw, rtol=1e-4, atol=1e-5 * np.abs(alone.raw).max())
    assert found.raw.shape == alone.raw.shape
    assert found.manifest["options"]["inner"] == inner
    assert found.manifest["forwards"] >= 2


def _own(inner: str, options: dict[str, int]) -> dict[str, int]:
    return options | ({"samples": 3} if inner in ("smooth-grad-cam++", "ss-cam") else {})


def test_a_cam_inside_is_averaged_map_by_map(tiny: onnxsal.Model, net: TinyNet) -> None:
    def grad_cam(z: np.ndarray) -> np.ndarray:
        a, g = net.forward(z)["a2"], net.gradients(z, 1)["a2"]
        return np.maximum((g.mean((1, 2), keepdims=True) * a).sum(0), 0)

    how = {"target": 1, "samples": N, "noise": LEVEL, "seed": SEED, "layer": "a2"}
    found = onnxsal.explain(tiny, X, method="smoothgrad", inner="grad-cam", **how)
    wanted = np.mean([grad_cam(z) for z in noisy()], axis=0)
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-4 * wanted.max())


def test_samples_of_a_sampling_method_inside_are_its_own(tiny: onnxsal.Model) -> None:
    """Without noise outside, the spread between draws is the inner method's own, so it must not be 0."""
    how = {"target": 1, "samples": 3, "noise": 0.0}
    found = onnxsal.explain(tiny, X, method="vargrad", inner="ss-cam", top_k=3, **how)
    assert found.raw.max() > 0


def test_vargrad_of_one_sample_is_refused(tiny: onnxsal.Model) -> None:
    with pytest.raises(UsageError, match="samples=1"):
        onnxsal.explain(tiny, X, method="vargrad", samples=1)


@pytest.mark.parametrize("method", [*FAMILY, "smooth-grad-cam++", "ss-cam"])
def test_batches_change_nothing_and_seeds_do(tiny: onnxsal.Model, method: str) -> None:
    layer = None if method in FAMILY else "a2"
    maps = [
        onnxsal.explain(tiny, X, method=method, layer=layer, target=1, samples=6, seed=seed, batch_size=size).raw
        for seed, size in ((5, 1), (5, 4), (5, 32), (6, 4))
    ]
    scale = np.abs(maps[0]).max()
    assert_allclose(maps[1], maps[0], rtol=0, atol=1e-6 * scale)
    assert_allclose(maps[2], maps[0], rtol=0, atol=1e-6 * scale)
    assert np.abs(maps[3] - maps[0]).max() > 1e-3 * scale


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("smoothgrad", {"samples": 30}),
        ("smoothgrad-squared", {"samples": 60}),
        ("smooth-grad-cam++", {"samples": 40, "layer": "a2"}),
        ("ss-cam", {"samples": 40, "layer": "a2", "top_k": 4}),
    ],
)
def test_intervals_cover_what_they_promise(tiny: onnxsal.Model, method: str, options: dict[str, object]) -> None:
    """Nominal 95 % intervals hold the limit in 90 to 99 % of all cases: pixels times repetitions with other seeds."""
    how = {"method": method, "target": 1, "batch_size": 64, **options}
    limit = np.mean(
        [onnxsal.explain(tiny, X, **how | {"samples": 1500, "seed": seed}).raw for seed in (900, 901)], axis=0
    )
    runs = [onnxsal.explain(tiny, X, **how, seed=seed) for seed in range(40)]
    shown = limit > 1e-3 * np.abs(limit).max() if limit.min() >= 0 else np.ones(limit.shape, bool)
    covered = np.mean([np.abs(r.raw - limit)[shown] <= 1.96 * np.asarray(r.stderr)[shown] for r in runs])
    assert 0.90 <= covered <= 0.99, covered


def test_a_map_that_is_mostly_noise_says_so(tiny: onnxsal.Model) -> None:
    how = {"method": "smoothgrad", "target": 1}
    noisy = onnxsal.explain(tiny, X, **how, samples=2, noise=3.0)
    clear = onnxsal.explain(tiny, X, **how, samples=50, noise=0.05)
    assert noisy.manifest["relative_error"] > 0.75
    assert any("the map can hardly be told from the noise" in note for note in noisy.manifest["notes"])
    assert clear.manifest["relative_error"] < 0.65
    assert not clear.manifest["notes"]
