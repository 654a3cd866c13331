"""Score-CAM and its kin against a slow twin: one masked picture at a time through the float64 network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.kernels.noise import Stream, normal
from onnxsal.kernels.resize import bilinear

TARGET, SIZE, SEED = 1, (12, 12), 9
Array = np.ndarray


class HalfFlat(TinyNet):
    """The network with two of the seven maps of ``a2`` made flat."""

    def __init__(self) -> None:
        super().__init__()
        self.w[1][[2, 5]], self.b[1][[2, 5]] = 0, [0.5, -1]


@pytest.fixture(scope="module")
def slow() -> HalfFlat:
    return HalfFlat()


@pytest.fixture(scope="module")
def model(slow: HalfFlat) -> onnxsal.Model:
    return onnxsal.load(slow.model())


X = image(2)


def stretch(a: Array) -> Array:
    return bilinear(a, SIZE).astype(float)


def unit(m: Array) -> Array:
    """Min-max to [0, 1]; a flat map becomes 0."""
    return (m - m.min()) / np.ptp(m) if np.ptp(m) > 0 else np.zeros_like(m)


def weigh(net: TinyNet, mask: Callable[[int], Array], kind: str) -> Array:
    """The score of the picture seen through each mask."""
    return np.array([net.score(X * mask(k), TARGET, kind) for k in range(7)])


def combine(w: Array, a: Array) -> Array:
    return np.maximum((w[:, None, None] * a).sum(0), 0)


def softmax(w: Array) -> Array:
    powers = np.exp(w - w.max())
    return powers / powers.sum()


def maps(net: TinyNet) -> tuple[Array, Array]:
    """The maps, and which of them are not flat."""
    a = net.forward(X)["a2"]
    alive = np.ptp(stretch(a), axis=(1, 2)) > 0
    assert alive.sum() == 5
    return a, alive


def preset_twin(net: TinyNet, preset: str) -> Array:
    a, alive = maps(net)
    after = lambda k: unit(stretch(a[k]))
    before = lambda k: stretch(unit(a[k]))
    if preset == "official":
        return combine(weigh(net, after, "probability") * alive, a)
    if preset == "tf-keras-vis":
        return combine(weigh(net, after, "probability"), a)
    if preset == "torchcam":
        return combine(softmax(weigh(net, before, "logit")), a)
    if preset == "pytorch-grad-cam":
        return combine(softmax(weigh(net, after, "logit")), a)
    rise = weigh(net, after, "logit") - net.score(np.zeros(X.shape), TARGET, "logit")
    w = np.zeros(7)
    w[alive] = softmax(rise[alive])
    return combine(w, a)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("preset", ["official", "paper", "torchcam", "pytorch-grad-cam", "tf-keras-vis"])
def test_presets_of_score_cam(model: onnxsal.Model, slow: HalfFlat, preset: str, batch_size: int) -> None:
    found = onnxsal.explain(
        model, X, method="score-cam", layer="a2", target=TARGET, preset=preset, batch_size=batch_size
    )
    wanted = preset_twin(slow, preset)
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-4 * wanted.max())
    skipping = preset in ("official", "paper")
    assert found.manifest["forwards"] == (5 if skipping else 7) + 1 + (preset == "paper")
    assert found.stderr is None


def test_the_presets_differ(slow: HalfFlat) -> None:
    found = [preset_twin(slow, p).ravel() for p in ("official", "paper", "torchcam", "pytorch-grad-cam")]
    units = np.stack([m / np.linalg.norm(m) for m in found])
    assert (np.triu(units @ units.T, 1) < 0.99999).all()


def test_top_k_takes_the_maps_of_highest_deviation(model: onnxsal.Model, slow: HalfFlat) -> None:
    a, _ = maps(slow)
    best = np.argsort(-a.std((1, 2)))[:3]
    w = weigh(slow, lambda k: unit(stretch(a[k])), "probability") * np.isin(np.arange(7), best)
    found = onnxsal.explain(model, X, method="score-cam", layer="a2", target=TARGET, top_k=3)
    assert_allclose(found.raw, combine(w, a), rtol=1e-3, atol=1e-5)
    assert found.manifest["forwards"] == 4


@pytest.mark.parametrize("top_k", [1, 3, 5])
def test_what_top_k_leaves_out_is_bounded(model: onnxsal.Model, slow: HalfFlat, top_k: int) -> None:
    how = {"method": "score-cam", "layer": "a2", "target": TARGET}
    some, whole = onnxsal.explain(model, X, **how, top_k=top_k), onnxsal.explain(model, X, **how)
    a, alive = maps(slow)
    left = alive & ~np.isin(np.arange(7), np.argsort(-a.std((1, 2)))[:top_k])
    bound = some.manifest["left_out_bound"]
    assert bound == pytest.approx(a[left].sum(0).max() / some.raw.max(), rel=1e-3, abs=1e-9)
    assert np.abs(whole.raw - some.raw).max() <= bound * some.raw.max() + 1e-6
    assert "left_out_bound" not in whole.manifest


BOUNDED = [
    ("score-cam", {"preset": "official"}),
    ("score-cam", {"preset": "tf-keras-vis"}),
    ("ss-cam", {"preset": "onnxsal", "samples": 3}),
    ("ss-cam", {"preset": "paper", "samples": 3}),
    ("ss-cam", {"preset": "authors", "samples": 3, "variant": 1}),
    ("is-cam", {"samples": 3}),
]


@pytest.mark.parametrize(("method", "options"), BOUNDED)
def test_no_target_is_further_from_the_whole_map_than_the_bound(
    model: onnxsal.Model, slow: HalfFlat, method: str, options: dict[str, object]
) -> None:
    """Classes and pairs; of a pair less that of the baseline a weight may be as large as 2."""
    a, alive = maps(slow)
    kept = np.isin(np.arange(7), np.argsort(-a.std((1, 2)))[:2])
    left = ~kept if options.get("preset") == "tf-keras-vis" else alive & ~kept
    baseline = method == "is-cam" or options.get("preset") == "paper"
    targets = [*range(5), *((i, j) for i in range(5) for j in range(5) if i != j)]
    how = {"method": method, "layer": "a2", "seed": SEED, **options}
    for target in targets:
        some, whole = (onnxsal.explain(model, X, target=target, top_k=k, **how) for k in (2, None))
        added = np.abs(a[left]).sum(0).max() * (2 if baseline and isinstance(target, tuple) else 1)
        bound = some.manifest["left_out_bound"]
        if some.raw.any():
            assert bound == pytest.approx(added / some.raw.max(), rel=1e-3)
            assert np.abs(whole.raw - some.raw).max() <= bound * some.raw.max() * (1 + 1e-6)
        else:
            assert bound == np.inf, target


def test_an_empty_map_says_that_anything_may_be_left_out(model: onnxsal.Model) -> None:
    """The classes whose score sinks under every mask: what two maps leave empty the others fill."""
    how = {"method": "is-cam", "layer": "a2", "samples": 3, "target": [*range(5)]}
    pairs = list(zip(*(onnxsal.explain(model, X, **how, top_k=k) for k in (2, 5)), strict=True))
    empty = [(some, all_alive) for some, all_alive in pairs if not some.raw.any()]
    assert empty
    assert all(some.manifest["left_out_bound"] == np.inf for some, _ in empty)
    assert all(every.manifest["left_out_bound"] == 0 for _, every in pairs)


def test_what_is_no_probability_has_no_bound(model: onnxsal.Model) -> None:
    how = {"method": "score-cam", "layer": "a2", "target": TARGET, "top_k": 2}
    twice = model.score("probability").extend()
    target = twice["sal/probabilities"]
    program = twice.finish(score=twice.Mul(twice.Squeeze(twice.Slice(target, [1], [2], [1]), [1]), 2.0))
    program.model.graph.inputs.remove(program.inputs["sal/target"])
    for more in ({"score": "logit"}, {"preset": "torchcam"}, {"target": program}):
        manifest = onnxsal.explain(model, X, **how | more).manifest
        assert "left_out_bound" not in manifest
        assert manifest["variant"]["left_out_bound"].startswith("unknown: a weight has a bound only where")


def test_top_k_above_the_number_of_maps_is_refused(model: onnxsal.Model) -> None:
    with pytest.raises(UsageError, match="7 feature maps"):
        onnxsal.explain(model, X, method="score-cam", layer="a2", top_k=8)


def test_a_layer_without_any_live_map_is_refused(slow: HalfFlat) -> None:
    dead = TinyNet()
    dead.b[1] = np.full_like(dead.b[1], -1000.0)
    with pytest.raises(UnsupportedError, match="flat"):
        onnxsal.explain(onnxsal.load(dead.model()), X, method="score-cam", layer="a2")


def ss_twin(net: TinyNet, variant: int, preset: str, samples: int) -> Array:
    """Noise level, mask and baseline as METHODS says; one noise field a sample, shared by the maps."""
    a, alive = maps(net)
    base = net.score(np.zeros(X.shape), TARGET, "probability") if preset == "paper" else 0.0
    w = np.zeros(7)
    for k in np.flatnonzero(alive):
        raw = stretch(a[k])
        mask = raw if (variant, preset) == (1, "authors") else unit(raw)
        spread = np.ptp(raw) if variant == 1 else np.ptp(X * unit(raw))
        sigma = {"onnxsal": 0.5 if variant == 1 else 0.5 * spread, "paper": 2.0, "authors": (2 / spread) ** 2}[preset]
        for i in range(samples):
            if variant == 1:
                field = normal(SEED, 0, i, mask.size, stream=Stream.MASK).reshape(SIZE)
                seen = X * (mask + sigma * field)
            else:
                seen = X * mask + sigma * normal(SEED, 0, i, X.size).reshape(X.shape)
            w[k] += (net.score(seen, TARGET, "probability") - base) / samples
    return combine(w, a)


@pytest.mark.parametrize("preset", ["onnxsal", "paper", "authors"])
@pytest.mark.parametrize("variant", [1, 2])
def test_variants_and_presets_of_ss_cam(model: onnxsal.Model, slow: HalfFlat, variant: int, preset: str) -> None:
    found = onnxsal.explain(
        model, X, method="ss-cam", layer="a2", target=TARGET, variant=variant, preset=preset, samples=4, seed=SEED
    )
    wanted = ss_twin(slow, variant, preset, 4)
    assert_allclose(found.raw, wanted, rtol=2e-3, atol=2e-4 * np.abs(wanted).max())
    assert found.manifest["forwards"] == 5 * 4 + 1 + (preset == "paper")
    assert found.manifest["variant"]["variant"] == variant
    assert found.manifest["samples"] == 4


def test_weights_that_say_nothing_are_named() -> None:
    blind = HalfFlat()
    blind.v = np.zeros_like(blind.v)
    noisy = onnxsal.explain(onnxsal.load(blind.model()), X, method="ss-cam", layer="a2", target=TARGET, samples=5)
    assert noisy.manifest["weight_reliability"] == 0
    assert any("told from noise" in note for note in noisy.manifest["notes"])


def test_clear_weights_are_not_called_noise(model: onnxsal.Model) -> None:
    clear = onnxsal.explain(model, X, method="ss-cam", layer="a2", target=TARGET, noise=0.01, samples=8)
    assert clear.manifest["weight_reliability"] > 0.95
    assert not clear.manifest["notes"]


def test_is_cam_averages_over_scaled_masks(model: onnxsal.Model, slow: HalfFlat) -> None:
    a, alive = maps(slow)
    base = slow.score(np.zeros(X.shape), TARGET, "probability")
    shares = [i / 5 for i in range(1, 6)]
    w = np.mean([weigh(slow, lambda k, c=c: c * unit(stretch(a[k])), "probability") for c in shares], axis=0)
    found = onnxsal.explain(model, X, method="is-cam", layer="a2", target=TARGET, samples=5)
    wanted = combine((w - base) * alive, a)
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-4 * wanted.max())
    assert found.manifest["forwards"] == 5 * 5 + 2


def test_is_cam_without_limits_is_run_whole(model: onnxsal.Model) -> None:
    """Its first samples are the faintest masks, and no number of samples has them alone."""
    how = {"method": "is-cam", "layer": "a2", "target": TARGET, "samples": 4, "batch_size": 2}

    def stops(done: int, total: int) -> None:
        if done >= total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        onnxsal.explain(model, X, **how, keep_partial=True, progress=stops)
