"""The metrics on the bundled classifier: a real map lies between its oracles, and theory holds where it should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import onnxsal
from onnxsal.cli.actions.demo import bundled
from onnxsal.evaluation.score import LOGIT, scorer
from onnxsal.metrics.registry import get

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    """What judges the demonstration's scene, but for the map."""
    model = onnxsal.load(bundled("shapes.onnx"))
    found = onnxsal.explain(model, bundled("demo.png"), method="grad-cam++")
    target = int(found.target)
    return {
        "model": model,
        "saliency": found.saliency,
        "x": model.prepare(bundled("demo.png")).x,
        "score": scorer(model, target, 16),
        "logit": scorer(model, target, 16, LOGIT),
        "baseline": model.black(),
    }


def judged(given: dict[str, Any], name: str, *maps: np.ndarray, **more: Any) -> list[float]:
    """Return a metric's values of several maps."""
    known = {key: given[key] for key in ("x", "score", "logit", "baseline")}
    return [each.value for each in get(name)(**known, saliency=np.stack(maps), **more)]


@pytest.mark.parametrize("name", ["deletion", "road-morf", "average-drop-top"])
def test_a_real_map_is_better_than_its_negative_where_low_is_good(given: dict[str, Any], name: str) -> None:
    real, negative = judged(given, name, given["saliency"], -given["saliency"])
    assert not get(name).higher_is_better
    assert real < negative


@pytest.mark.parametrize("name", ["insertion", "road-lerf", "road"])
def test_a_real_map_is_better_than_its_negative_where_high_is_good(given: dict[str, Any], name: str) -> None:
    real, negative = judged(given, name, given["saliency"], -given["saliency"])
    assert get(name).higher_is_better
    assert real > negative


def test_average_drop_is_fooled_by_a_bright_map_and_its_top_variant_is_not(given: dict[str, Any]) -> None:
    """The blind spot that the documentation warns of: the negative of a small spot hides little."""
    real, negative = judged(given, "average-drop", given["saliency"], -given["saliency"])
    assert negative < real
    real, negative = judged(given, "average-drop-top", given["saliency"], -given["saliency"])
    assert real < negative


def test_road_of_a_random_map_is_near_nothing(given: dict[str, Any]) -> None:
    """Averaged over draws: both orders of a random map remove the same."""
    noise = judged(given, "road", *RNG.random((6, *given["saliency"].shape)))
    real = judged(given, "road", given["saliency"])[0]
    assert abs(np.mean(noise)) < 0.15
    assert real > max(noise)


def test_integrated_gradients_are_complete_and_tell_the_drops(given: dict[str, Any]) -> None:
    found = onnxsal.explain(given["model"], bundled("demo.png"), method="integrated-gradients", baseline="black")
    raw = found.raw.astype(np.float64)
    complete = get("completeness")(logit=given["logit"], x=given["x"], raw=raw, baseline=given["baseline"], to="black")
    assert complete.value < 0.02 * abs(complete.details["rise"])
    assert complete.value == pytest.approx(found.manifest["completeness_gap"], abs=1e-3)
    other = get("completeness")(logit=given["logit"], x=given["x"], raw=-raw, baseline=given["baseline"], to="black")
    assert other.value > abs(complete.details["rise"])


def test_the_gradient_is_more_faithful_to_small_changes_than_another(given: dict[str, Any]) -> None:
    raw = onnxsal.explain(given["model"], bundled("demo.png"), method="gradient").raw.astype(np.float64)
    known = {key: given[key] for key in ("x", "logit", "baseline")}
    maps = np.stack([given["saliency"]] * 3)
    true, shuffled, nothing = get("infidelity")(
        **known, saliency=maps, raw=[raw, RNG.permutation(raw, axis=2), 0 * raw], size=0.002
    )
    assert true.value < 0.1 * nothing.value
    assert shuffled.value > 0.5 * nothing.value
    assert true.details["factor"] == pytest.approx(1, abs=0.2)
