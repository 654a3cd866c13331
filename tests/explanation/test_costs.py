"""What methods are said to take against what running them takes, and why some do not apply."""

from __future__ import annotations

import pytest
import tiny_models
from tables import SPLITS, form
from tinynet import TinyNet, image, linear

import onnxsal
from onnxsal.explanation.build import build, choose_layer
from onnxsal.explanation.costs import BUFFERS, Cost, costs, footprints
from onnxsal.explanation.method_plan import BATCH, plan
from onnxsal.explanation.rates import Rates
from onnxsal.methods.catalogue import names

RATES = Rates(forward=0.5, to_pixels=2.0, to_layer=1.0)


def told(model: onnxsal.Model, rates: Rates = RATES) -> dict[str, Cost]:
    return {cost.method: cost for cost in costs(model, rates)}


@pytest.fixture(scope="module")
def tiny() -> onnxsal.Model:
    return onnxsal.load(TinyNet().model())


@pytest.fixture(scope="module")
def on_tiny(tiny: onnxsal.Model) -> dict[str, Cost]:
    return told(tiny)


def test_every_method_is_told_and_applies(on_tiny: dict[str, Cost]) -> None:
    assert list(on_tiny) == names()
    assert {name for name, cost in on_tiny.items() if cost.reason is not None} == {
        "similarity-map",
        "shapley",
    }  # it is no embedding, and takes no rows of tables


@pytest.mark.parametrize("method", [name for name in names() if name not in {"rise", "similarity-map", "shapley"}])
def test_a_run_takes_the_forwards_that_were_told(tiny: onnxsal.Model, on_tiny: dict[str, Cost], method: str) -> None:
    manifest = onnxsal.explain(tiny, image(), method=method, target=1).manifest
    assert manifest["forwards"] == on_tiny[method].forwards
    # Integrated gradients knows the gradient at the end of its path from the step before; temporal saliency rescaling
    # counts no gradient of the uncovered thing.
    spared = method in ("integrated-gradients", "temporal-saliency-rescaling")
    assert 0 <= on_tiny[method].backwards - manifest["backwards"] <= spared


def test_maps_of_the_layer_count(on_tiny: dict[str, Cost]) -> None:
    """a3 has eight maps: one forward each and one that makes them, thirty-five and ten of noise and of masks."""
    assert [on_tiny[name].forwards for name in ("score-cam", "ss-cam", "is-cam", "ablation-cam")] == [9, 281, 82, 9]


def test_seconds_are_those_of_its_passes(on_tiny: dict[str, Cost]) -> None:
    """Forwards at half a second; a gradient adds two seconds to the pixels and one to a layer."""
    for name, seconds in {
        "gradient": 2.5, "smoothgrad": 50 * 2.5, "grad-cam": 1.5, "smooth-grad-cam++": 51 * 0.5 + 50,
        "eigencam": 0.5, "score-cam": 4.5,
    }.items():  # fmt: skip
        assert on_tiny[name].seconds == pytest.approx(seconds), name


def test_memory_is_weights_batches_of_masked_pictures_and_what_lives_at_once(
    tiny: onnxsal.Model, on_tiny: dict[str, Cost]
) -> None:
    net = TinyNet()
    weights = 4 * sum(array.size for array in (*net.w, *net.b, net.v, net.c))
    a_image = 4 * image().size
    for name in ("gradient", "cam", "score-cam", "eigencam"):  # of a family the first is measured for all
        steps = plan(name, {})
        layer = choose_layer(tiny, steps, None) if steps.needs_layer else None
        parts = footprints(build(tiny, steps, layer=layer, score=tiny.score(steps.score)))
        live = max(part.per_image for part in parts)
        fixed = max(part.fixed for part in parts)
        assert on_tiny[name].memory == fixed + BATCH * (live + BUFFERS * a_image)
        assert fixed == pytest.approx(weights, abs=300)  # and the constants of the method
        assert live >= 4 * (3 * 144 + 6 * 144)  # the picture and the first maps


def test_an_operator_without_a_rule_ends_what_goes_through_it_and_nothing_else() -> None:
    found = told(onnxsal.load(tiny_models.without_rule()))
    without = {name for name, cost in found.items() if cost.reason is not None}
    assert {"gradient", "smoothgrad", "grad-cam++", "layercam", "integrated-gradients"} <= without
    assert not {"score-cam", "ss-cam", "ablation-cam", "recipro-cam", "eigencam", "occlusion"} & without
    assert all("Imputer" in str(found[name].reason) for name in without - {"cam", "similarity-map", "shapley"})
    assert {(found[name].forwards, found[name].seconds, found[name].memory) for name in without} == {(0, None, None)}


def test_a_model_without_layers_serves_the_methods_that_need_none() -> None:
    found = told(onnxsal.load(linear()))
    assert {name for name, cost in found.items() if cost.reason is None} - {"rise"} == {
        "gradient", "input-x-gradient", "integrated-gradients", "smoothgrad", "smoothgrad-squared", "vargrad",
        "occlusion", "guided-backprop", "deconvnet", "attnlrp", "temporal-saliency-rescaling",
    }  # fmt: skip


def test_a_gradient_that_is_nothing_whatever_goes_in_is_no_offer() -> None:
    model = onnxsal.load(form(f"y{SPLITS}(x)"))
    found = told(model)
    assert {name for name, cost in found.items() if cost.reason is None} == {"occlusion", "rise", "shapley"}
    for name in ("gradient", "smoothgrad", "integrated-gradients", "guided-backprop"):
        assert "ends at TreeEnsembleRegressor" in str(found[name].reason)
        assert "shapley" in str(found[name].reason)
    explained = onnxsal.explain(model, {"a": 0.1, "b": 0.3, "c": 1.0}, method="gradient")
    assert not explained.raw.any()
    assert "shapley, occlusion, rise" in explained.manifest["notes"][-1], "as inspect says"


def test_where_no_gradient_was_measured_forwards_alone_count(tiny: onnxsal.Model) -> None:
    found = told(tiny, Rates(forward=0.5, to_pixels=None, to_layer=None))
    assert found["gradient"].seconds == pytest.approx(0.5)
    assert found["grad-cam"].seconds == pytest.approx(0.5)
