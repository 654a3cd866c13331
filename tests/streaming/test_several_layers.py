"""Several layers in one map: limits that they share, interruptions, making it again, and its error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tinynet import image

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.explanation.limits import share_of_limits
from onnxsal.explanation.method_plan import Common
from onnxsal.streaming import run
from onnxsal.viz.maps import cam_saliency

X = image()
LAYERS = ["a2", "a3"]
SS = {"method": "ss-cam", "target": 1, "top_k": 4, "samples": 100, "batch_size": 4}
SMOOTH = {"method": "smoothgrad", "inner": "grad-cam", "target": 1}


def interrupt_at(call: int) -> Callable[[int, int], None]:
    calls = []

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == call:
            raise KeyboardInterrupt

    return progress


def fused_again(tiny: onnxsal.Model, found: onnxsal.Explanation, **how: object) -> np.ndarray:
    """The mean of the layers, each made alone by what the manifest says of it."""
    rows = found.manifest["by_layer"]
    alone = [onnxsal.explain(tiny, X, **SS | how, layer=row["layer"], forwards=row["forwards"]) for row in rows]
    return np.mean([each.saliency for each in alone], axis=0)


@pytest.mark.parametrize("forwards", [40, 41])
def test_layers_share_the_forwards(tiny: onnxsal.Model, forwards: int) -> None:
    found = onnxsal.explain(tiny, X, **SS, layer=LAYERS, forwards=forwards)
    rows = found.manifest["by_layer"]
    assert [row["forwards"] for row in rows] == [20, forwards - 20]
    assert [row["samples"] for row in rows] == [4, (forwards - 21) // 4]
    assert found.manifest["forwards"] == forwards
    assert (found.manifest["stopped"], found.manifest["partial"]) == ("forwards", True)
    assert_array_equal(found.raw, fused_again(tiny, found))
    again = onnxsal.explain(tiny, X, **SS | {"batch_size": 7}, layer=LAYERS, forwards=found.manifest["forwards"])
    assert_allclose(again.raw, found.raw, rtol=0, atol=1e-6)


@pytest.mark.parametrize("limit", [{"forwards": 90}, {"tolerance": 0.4}])
def test_the_manifest_makes_a_map_of_several_layers_again(tiny: onnxsal.Model, limit: dict) -> None:
    """Here the number of forwards that it took does not: the first layer's share is another one."""
    found = onnxsal.explain(tiny, X, **SS, layer=LAYERS, fuse="max", **limit)
    manifest = found.manifest
    assert manifest["limits"] == limit
    how = {"layer": manifest["layer"], "fuse": manifest["fuse"], **manifest["options"], **manifest["limits"]}
    again = onnxsal.explain(tiny, X, method="ss-cam", target=1, batch_size=7, **how)
    assert_allclose(again.raw, found.raw, rtol=0, atol=1e-6)
    assert "by the limits that were asked for, not by the number of forwards" in " ".join(manifest["notes"])


def test_one_layer_without_limits_has_none_in_the_manifest(tiny: onnxsal.Model) -> None:
    manifest = onnxsal.explain(tiny, X, **SS, layer="a2").manifest
    assert not {"fuse", "limits"} & set(manifest)


def test_what_one_layer_does_not_need_is_left_to_the_others(tiny: onnxsal.Model) -> None:
    found = onnxsal.explain(tiny, X, method="score-cam", target=1, layer=LAYERS, forwards=16)
    assert [row["forwards"] for row in found.manifest["by_layer"]] == [8, 8]
    whole = onnxsal.explain(tiny, X, method="score-cam", target=1, layer=LAYERS, forwards=18)
    alone = [onnxsal.explain(tiny, X, method="score-cam", target=1, layer=name) for name in LAYERS]
    assert [row["forwards"] for row in whole.manifest["by_layer"]] == [each.manifest["forwards"] for each in alone]
    assert (whole.manifest["stopped"], whole.manifest["partial"]) == (None, False)


def test_too_small_a_share_of_forwards_is_refused(tiny: onnxsal.Model) -> None:
    with pytest.raises(UsageError, match=r"layer 'a2' \(its share of forwards=3 is 1\): .* at least 2"):
        onnxsal.explain(tiny, X, **SS, layer=LAYERS, forwards=3)


def test_seconds_and_forwards_that_are_left_are_shared_by_the_runs_to_go() -> None:
    common = Common(forwards=41, seconds=60.0)
    left = share_of_limits(common, 3, spent=10, since=time.perf_counter() - 30)
    assert left.forwards == 10
    assert left.seconds == pytest.approx(10, abs=0.5)
    assert share_of_limits(common, 2, spent=0, since=time.perf_counter() - 61).seconds == 0
    assert share_of_limits(Common(), 2, spent=5, since=0.0) == Common()


@pytest.mark.parametrize(("call", "reached"), [(5, 1), (103, 2)])
def test_an_interruption_ends_all_layers(tiny: onnxsal.Model, call: int, reached: int) -> None:
    """A layer takes 100 batches: the interruption is in the first layer, or in the second."""
    found = onnxsal.explain(tiny, X, **SS, layer=LAYERS, keep_partial=True, progress=interrupt_at(call))
    manifest = found.manifest
    assert (manifest["stopped"], manifest["partial"]) == ("interrupted", True)
    assert [row["samples"] for row in manifest["by_layer"]] == [5, 100, 3][reached - 1 : 2 * reached - 1]
    assert manifest["forwards"] == sum(row["forwards"] for row in manifest["by_layer"]) == call * 4 + reached
    assert_array_equal(found.raw, fused_again(tiny, found))
    notes = " ".join(manifest["notes"])
    assert "no one number of forwards" in notes
    assert ("before layer a3" in notes) == (reached == 1)


def test_targets_with_runs_of_their_own_share_the_seconds(tiny: onnxsal.Model, monkeypatch) -> None:
    """The clock stands still while targets are run, but for the 3 seconds that each takes."""
    module, given, now = sys.modules["onnxsal.explanation.run"], [], [100.0]
    explained = module.explain_goals

    def timed(request, prepared, goals, scores):
        given.append(request.common.seconds)
        now[0] += 3
        return explained(replace(request, common=replace(request.common, seconds=None)), prepared, goals, scores)

    monkeypatch.setattr(module, "explain_goals", timed)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    how = SS | {"estimator": "neyman", "samples": 5, "target": [0, 1, 2, 3]}
    assert len(onnxsal.explain(tiny, X, **how, layer="a2", seconds=8)) == 4
    assert given == [8 / 4, 5 / 3, 2 / 2, 0]


def interrupt_before(monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    """Let Ctrl-C come before the first draw of the run with this number."""
    calls, heads = [], run._run_heads

    def interrupted(*given):
        calls.append(given)
        if len(calls) == which:
            raise KeyboardInterrupt
        return heads(*given)

    monkeypatch.setattr(run, "_run_heads", interrupted)


def test_a_layer_that_has_nothing_when_it_is_interrupted_is_left_out(tiny, monkeypatch) -> None:
    alone = onnxsal.explain(tiny, X, **SS, layer="a2")
    interrupt_before(monkeypatch, 2)
    found = onnxsal.explain(tiny, X, **SS, layer=LAYERS, keep_partial=True)
    assert (found.manifest["stopped"], found.manifest["partial"]) == ("interrupted", True)
    assert [(row["layer"], row["stopped"]) for row in found.manifest["by_layer"]] == [("a2", None)]
    assert "interrupted before layer a3" in " ".join(found.manifest["notes"])
    assert_array_equal(found.saliency, alone.saliency)


@pytest.mark.parametrize(("which", "keep"), [(1, True), (2, False)])
def test_an_interruption_with_nothing_to_show_or_unwanted_ends_the_run(tiny, monkeypatch, which, keep) -> None:
    interrupt_before(monkeypatch, which)
    with pytest.raises(KeyboardInterrupt):
        onnxsal.explain(tiny, X, **SS, layer=LAYERS, keep_partial=keep)


OWN_RUNS = SS | {"estimator": "neyman", "samples": 5, "layer": "a2"}


@pytest.mark.parametrize("which", [2, 3])
def test_targets_that_are_done_outlive_an_interruption_of_the_next(tiny, monkeypatch, which: int) -> None:
    whole = onnxsal.explain(tiny, X, **OWN_RUNS | {"target": [0, 1, 2]})
    interrupt_before(monkeypatch, which)
    found = onnxsal.explain(tiny, X, **OWN_RUNS | {"target": [0, 1, 2]}, keep_partial=True)
    assert [each.target for each in found] == [0, 1, 2][: which - 1]
    for each, same in zip(found, whole, strict=False):
        assert_array_equal(each.raw, same.raw)
        assert not each.manifest["partial"]


def test_pictures_that_are_done_outlive_an_interruption_of_the_next(tiny, monkeypatch) -> None:
    interrupt_before(monkeypatch, 2)
    assert len(onnxsal.explain(tiny, [X, X], **OWN_RUNS, keep_partial=True)) == 1
    interrupt_before(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        onnxsal.explain(tiny, [X, X], **OWN_RUNS)


def test_seconds_end_all_layers_and_each_is_made_again_alone(tiny: onnxsal.Model) -> None:
    found = onnxsal.explain(tiny, X, **SS | {"samples": 100_000}, layer=LAYERS, seconds=0.05)
    assert (found.manifest["stopped"], found.manifest["partial"]) == ("seconds", True)
    assert "no one number of forwards" in " ".join(found.manifest["notes"])
    assert_array_equal(found.raw, fused_again(tiny, found, samples=100_000))


@pytest.mark.parametrize("how", ["mean", "max"])
def test_the_error_is_that_of_the_layers_stretched_maps(tiny: onnxsal.Model, how: str) -> None:
    """Held against maps from which every single sample was left out: with 8 samples each is a group."""
    found = onnxsal.explain(tiny, X, **SMOOTH, samples=8, layer=LAYERS, fuse=how)
    maps, errors = zip(*(stretched(tiny, name) for name in LAYERS), strict=True)
    wanted = np.mean(errors, axis=0) if how == "mean" else np.where(maps[0] >= maps[1], *errors)
    assert_allclose(found.stderr, wanted, rtol=1e-3, atol=1e-5)
    relative = np.linalg.norm(found.stderr) / np.linalg.norm(found.raw)
    assert found.manifest["relative_error"] == pytest.approx(relative, rel=1e-5)


def stretched(tiny: onnxsal.Model, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """The saliency of a layer, and its jackknife error from the maps of the single samples."""
    means = [onnxsal.explain(tiny, X, **SMOOTH, samples=n, layer=layer).raw.astype(float) for n in range(1, 9)]
    sums = np.stack([n * mean for n, mean in enumerate(means, 1)])
    single = np.diff(sums, axis=0, prepend=0)
    without = np.stack([cam_saliency((sums[-1] - each) / 7, (12, 12)) for each in single])
    error = np.sqrt(7 / 8 * np.square(without - without.mean(axis=0)).sum(axis=0))
    return cam_saliency(means[-1], (12, 12)), error


@pytest.mark.parametrize("how", [SS | {"samples": 12}, SS | {"estimator": "neyman"}, SMOOTH | {"samples": 12}])
def test_the_error_covers_how_far_maps_of_other_seeds_are_apart(tiny: onnxsal.Model, how: dict) -> None:
    runs = [onnxsal.explain(tiny, X, **how, layer=LAYERS, seed=seed) for seed in range(24)]
    actual = np.std([each.raw for each in runs], axis=0, ddof=1)
    stated = np.sqrt(np.mean([np.square(each.stderr) for each in runs], axis=0))
    assert 0.8 < np.linalg.norm(stated) / np.linalg.norm(actual) < 2


def test_an_exact_map_of_several_layers_has_no_error(tiny: onnxsal.Model) -> None:
    found = onnxsal.explain(tiny, X, method="layercam", target=1, layer=LAYERS)
    assert found.stderr is None
    assert "relative_error" not in found.manifest
    assert "by_layer" not in found.manifest
