"""Calling metrics: by name and position, for one map and several, with options and misuse told apart."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Annotated, Any

import numpy as np
import pytest

from onnxsal import plugins
from onnxsal.errors import UsageError
from onnxsal.metrics.given import GIVEN
from onnxsal.metrics.judgement import Judgement
from onnxsal.metrics.registry import get, metric, names
from onnxsal.options import Range

RNG = np.random.default_rng(0)
X = RNG.random((3, 24, 20)).astype(np.float32)
WEIGHTS = RNG.standard_normal(X.shape)
MAPS = np.abs(RNG.standard_normal((2, 24, 20)))


def logit(images: np.ndarray) -> np.ndarray:
    return (images * WEIGHTS).sum(axis=(1, 2, 3))


def score(images: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit(images) / 20))


def explain(images: np.ndarray) -> np.ndarray:
    return np.abs((images * WEIGHTS).sum(axis=1))


def everything(maps: np.ndarray) -> dict[str, Any]:
    """Return one of everything that metrics may need, for one map or several."""
    several = maps.ndim == 3
    per_map = {"raw": X * WEIGHTS, "explain": explain, "randomised": RNG.random((3, 24, 20))}
    return {
        "score": score,
        "logit": logit,
        "x": X,
        "saliency": maps,
        "baseline": np.zeros(3),
        "mask": np.eye(24, 20) > 0,
        "boxes": [[0, 0, 10, 10]],
        "cell": np.eye(24, 20) > 0,
        "region": np.eye(24, 20) > 0,
        "seed": 3,
        **{name: [value] * len(maps) if several else value for name, value in per_map.items()},
    }


@pytest.mark.parametrize("name", names())
def test_several_maps_are_judged_as_each_alone(name: str) -> None:
    given = everything(MAPS)
    together = get(name)(**given)
    for i, found in enumerate(together):
        one = {n: v[i] if n in ("saliency", "raw", "explain", "randomised") else v for n, v in given.items()}
        alone = get(name)(**one)
        assert found.value == pytest.approx(alone.value, rel=1e-9, nan_ok=True)
        assert found.parameters == alone.parameters
        assert (found.curve is None) == (alone.curve is None)
        if found.curve is not None:
            np.testing.assert_allclose(found.curve, alone.curve, rtol=1e-6)


@pytest.mark.parametrize("name", names())
def test_every_option_stands_in_the_result(name: str) -> None:
    judged = get(name)(**everything(MAPS[0]))
    expected = {each: option.default for each, option in get(name).options.items()}
    if "seed" in get(name).needs:
        expected["seed"] = 3
    assert judged.parameters == expected
    assert isinstance(judged, Judgement)


@pytest.mark.parametrize("name", names())
def test_every_metric_says_where_it_is_from_and_what_it_rewards(name: str) -> None:
    found = get(name)
    assert found.name == name
    assert "arXiv:" in found.paper
    assert found.when
    assert set(found.needs) <= set(GIVEN)
    assert inspect.getdoc(found.judge)


@pytest.mark.parametrize("name", sorted(set(names()) - {"completeness"}))
def test_a_map_with_nan_is_refused(name: str) -> None:
    maps = MAPS.copy()
    maps[1, 2, 3] = np.nan
    with pytest.raises(UsageError, match=r"the map is not finite: 1 of 960 values"):
        get(name)(**everything(maps))


def test_what_is_needed_may_come_by_position() -> None:
    by_name = get("deletion")(score=score, x=X, saliency=MAPS[0], steps=4)
    assert get("deletion")(score, X, MAPS[0], steps=4).value == by_name.value


def test_something_missing_is_named() -> None:
    with pytest.raises(UsageError, match=r"'deletion' needs score, x, saliency, baseline; score, x is missing"):
        get("deletion")(saliency=MAPS[0])
    with pytest.raises(UsageError, match=r"'sparseness' needs saliency; got 2 things"):
        get("sparseness")(MAPS[0], MAPS[1])


def test_options_are_checked_against_the_signature() -> None:
    with pytest.raises(UsageError, match=r"metric 'deletion' has no option 'stpes'; did you mean 'steps'"):
        get("deletion")(score, X, MAPS[0], stpes=4)
    with pytest.raises(UsageError, match=r"steps=0 is out of range"):
        get("deletion")(score, X, MAPS[0], steps=0)
    wanted = "black or zero or blur or mean or pad or mask; did you mean 'black'"
    with pytest.raises(UsageError, match=f"to='blak': expected {wanted}"):
        get("insertion")(score, X, MAPS[0], to="blak")
    assert get("deletion")(score, X, MAPS[0], steps="4").parameters["steps"] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"saliency": MAPS[0, :5]}, r"'deletion': sizes differ: x 24 x 20, saliency 5 x 20"),
        ({"saliency": MAPS[0, 0]}, r"must be \[H, W\].*got \[20\]"),
        ({"x": X[0]}, r"the picture must be \[C, H, W\], got \[24, 20\]"),
        ({"x": X * np.inf}, r"the picture is not finite"),
        ({"baseline": np.zeros((3, 5, 5))}, r"sizes differ.*baseline 5 x 5"),
        ({"baseline": 0.0}, r"the baseline must be \[C, H, W\] or \[C\]"),
        ({"score": lambda p: np.zeros((len(p), 2))}, r"one finite number a picture: expected \[\d+\], got shape"),
        ({"score": lambda p: np.full(len(p), np.nan)}, r"values that are NaN"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        get("deletion")(**{"score": score, "x": X, "saliency": MAPS[0], **change})


def test_as_many_explainers_as_maps() -> None:
    with pytest.raises(UsageError, match=r"'max-sensitivity': there are 1 and 2 maps|2 and 1 maps"):
        get("max-sensitivity")(x=X, saliency=MAPS, explain=explain)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [([[5, 5, 5, 9]], r"left < right"), ([[1, 2, 3]], r"left < right"), ([[90, 90, 99, 99]], r"no box touches")],
)
def test_boxes_that_are_none_are_refused(boxes: list[list[float]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        get("energy-pointing")(saliency=MAPS[0], boxes=boxes)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match=r"sizes differ: saliency 24 x 20, mask 5 x 5"):
        get("energy-pointing")(MAPS[0], np.eye(5))


def test_a_plain_function_becomes_a_metric() -> None:
    @metric("brightness", paper="none", when="bright maps")
    def brightness(saliency: np.ndarray, *, power: Annotated[float, Range(0)] = 1.0) -> float:
        return float((saliency**power).mean())

    assert brightness.needs == ("saliency",)
    assert brightness(MAPS[0]).value == pytest.approx(MAPS[0].mean())
    found = brightness(MAPS, power=2)
    assert [each.value for each in found] == pytest.approx(list((MAPS**2).mean(axis=(1, 2))))
    assert found[0].parameters == {"power": 2.0}
    assert float(found[0]) == found[0].value


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (None, "gave NoneType None"), ("0.5", "gave str '0.5'"), (MAPS[0], r"gave ndarray of shape \[24, 20\]"),
        ({"value": 1}, "gave dict"), (Judgement(None), "gave NoneType"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
@pytest.mark.parametrize("batched", [False, True])
def test_a_metric_that_gives_no_number_is_named(verdict: Any, said: str, batched: bool) -> None:
    given = metric("odd", paper="none", batched=batched)(lambda saliency: [verdict] if batched else verdict)
    with pytest.raises(UsageError, match=f"metric 'odd' {said}.*; expected a number or a Judgement"):
        given(MAPS[0])


@pytest.mark.parametrize("verdict", [None, 0.5, "ab"])
def test_a_metric_that_gives_no_number_a_map_is_named(verdict: Any) -> None:
    with pytest.raises(UsageError, match=r"'odd' gave .*; expected one number or Judgement for each of 2 maps"):
        metric("odd", paper="none", batched=True)(lambda saliency: verdict)(MAPS)


def test_a_metric_that_needs_what_nothing_gives_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"needs 'salience', which nothing gives; did you mean 'saliency'"):
        metric("x", paper="none")(lambda salience: 0.0)


def test_metrics_are_named_without_import() -> None:
    code = (
        "import sys; from onnxsal.metrics.registry import names; n = names();"
        "print(len(n), [m for m in sys.modules if m.startswith('onnxsal.metrics.') or m == 'numba'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {"onnxsal.metrics.registry", "onnxsal.metrics.given", "onnxsal.metrics.judgement"}
    assert done.stdout.startswith(f"{len(plugins.offers(plugins.METRICS))} ")
    assert all(name in loaded for name in done.stdout.split("[")[1].strip("]\n").replace("'", "").split(", "))


def test_what_is_not_there_is_suggested() -> None:
    with pytest.raises(UsageError, match="there is no metric 'delection'; did you mean 'deletion'"):
        get("delection")
