"""One forward a picture: one run gives what is predicted and the map, where its numbers stay the file's own."""

from __future__ import annotations

import time
from typing import Any

import detectors
import drawn_objects
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tinynet import TinyNet, image

import onnxsal
from onnxsal.anatomy import X
from onnxsal.explanation import forward as module
from onnxsal.explanation.at_once import CHOSEN
from onnxsal.runtime import Session

METHODS = ["gradient", "grad-cam++", "layercam", "eigencam"]
PICTURES = [image(seed=seed) for seed in range(3)]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the model itself was run for, in order: what it predicts alone, or with what a map is made of."""
    found: list[str] = []
    run, run_passing = Session.run, Session.run_passing

    def alone(self: Session, feeds: Any, outputs: Any = None) -> Any:
        if X in self.inputs:
            found.append("both" if CHOSEN in self.outputs else "whole" if "saliency" in self.outputs else "predict")
        return run(self, feeds, outputs)

    def passing(self: Session, feeds: Any, outputs: Any, *rest: Any, **options: Any) -> Any:
        if "sal/logits" in outputs:
            found.append("both")
        return run_passing(self, feeds, outputs, *rest, **options)

    monkeypatch.setattr(Session, "run", alone)
    monkeypatch.setattr(Session, "run_passing", passing)
    return found


def whole_map(method: str, picture: np.ndarray, target: Any, **options: Any) -> Any:
    """Return the explanation by the method's program in one, as methods run that draw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_halved", lambda request: None)
        patch.setattr(module, "_whole", lambda request: None)
        return onnxsal.explain(onnxsal.load(TinyNet().model()), picture, method=method, target=target, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [None, 2, [0, 2]])
def test_a_picture_takes_one_run_of_the_model(method: str, target: Any, runs: list[str]) -> None:
    """Of one target the same run makes the map; of several each has what comes behind the target to itself."""
    model, targets = onnxsal.load(TinyNet().model()), target if isinstance(target, list) else [target]
    del runs[:]
    found = onnxsal.explain(model, PICTURES, method=method, target=target)
    assert runs == ["both", "predict", "both", "both"], "the first picture shows that both give the same bits"
    for at, one in enumerate(found):
        expected = whole_map(method, PICTURES[at // len(targets)], targets[at % len(targets)])
        assert (one.target, one.score, one.logit) == (expected.target, expected.score, expected.logit)
        assert_array_equal(one.raw, expected.raw, strict=True)


def test_the_target_may_be_another_than_the_run_chose(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that come from elsewhere may lie otherwise than a graph's own: what they say is explained."""
    model = onnxsal.load(TinyNet().model())
    monkeypatch.setattr(module, "column_of", lambda model, targets: np.array([2]))
    one = onnxsal.explain(model, PICTURES[0], method="gradient", target=0)
    assert runs[-3:] == ["both", "predict", "both"]
    assert_array_equal(one.raw, whole_map("gradient", PICTURES[0], 0).raw, strict=True)


def test_all_targets_and_layers_come_of_one_run(runs: list[str]) -> None:
    model, targets, layers = onnxsal.load(TinyNet().model()), [0, 2, None], ["a2", "a3"]
    onnxsal.explain(model, PICTURES[0], target=targets, layer=layers)
    del runs[:]
    found = onnxsal.explain(model, PICTURES[1], target=targets, layer=layers)
    assert runs == ["both"]
    for target, one in zip(targets, found, strict=True):
        assert_array_equal(one.raw, whole_map("grad-cam++", PICTURES[1], target, layer=layers).raw, strict=True)


def test_a_target_of_another_form_has_a_run_of_its_own(runs: list[str]) -> None:
    model = onnxsal.load(TinyNet().model())
    onnxsal.explain(model, PICTURES[0], target=[0, 1])
    del runs[:]
    one = onnxsal.explain(model, PICTURES[1], target=(0, 2))
    assert runs == ["both", "whole"]
    assert_array_equal(one.raw, whole_map("grad-cam++", PICTURES[1], (0, 2)).raw, strict=True)


@pytest.mark.parametrize("method", METHODS)
def test_pictures_run_together_give_what_each_gives_alone(method: str, runs: list[str]) -> None:
    model, targets = onnxsal.load(TinyNet().model()), [None, 2]
    alone = onnxsal.explain(model, PICTURES, method=method, target=targets)
    del runs[:]
    found = onnxsal.explain(model, PICTURES, method=method, target=targets, batch_size=2)
    assert runs.count("both") == 3, "two pictures, once one of them alone, then the third"
    assert [(a.target, a.score) for a in alone] == [(f.target, f.score) for f in found]
    for one, other in zip(alone, found, strict=True):
        assert_allclose(other.raw, one.raw, atol=1e-6 * np.abs(one.raw).max())
    del runs[:]
    onnxsal.explain(model, PICTURES[:2], method=method, batch_size=2)
    assert runs == ["both"]


def test_numbers_that_are_not_the_file_s_are_not_told(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that rounds the model otherwise beside a gradient: score and class come of the file run alone."""
    model, expected = onnxsal.load(TinyNet().model()), [whole_map("gradient", p, 1) for p in PICTURES]
    run_passing, run = Session.run_passing, Session.run

    def run_rounded(self: Session, feeds: Any, outputs: Any = None) -> Any:
        found = run(self, feeds, outputs)
        return {n: np.nextafter(a, 9) if n == "sal/logits" and CHOSEN in found else a for n, a in found.items()}

    def rounded(self: Session, feeds: Any, outputs: Any, *rest: Any, **options: Any) -> Any:
        found, passed = run_passing(self, feeds, outputs, *rest, **options)
        return {n: np.nextafter(a, 9) if n == "sal/logits" else a for n, a in found.items()}, passed

    monkeypatch.setattr(Session, "run_passing", rounded)
    monkeypatch.setattr(Session, "run", run_rounded)
    for target in (1, [1, 0]):
        del runs[:]
        found = onnxsal.explain(model, PICTURES, method="gradient", target=target)
        assert runs == ["both", "predict", "predict", "both", "predict", "both", "predict"]
        of_one = [one for one in found if one.target == 1]
        assert [(one.score, one.logit) for one in of_one] == [(one.score, one.logit) for one in expected]


def test_the_seconds_of_a_map_have_the_runs_that_were_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each target's: what predicts and what is behind it; of pictures that ran together their share of both."""
    model, run_passing = onnxsal.load(TinyNet().model()), Session.run_passing

    def slow(self: Session, *given: Any, **options: Any) -> Any:
        time.sleep(0.04)
        return run_passing(self, *given, **options)

    monkeypatch.setattr(Session, "run_passing", slow)
    for method, runs, together in (("gradient", 2, None), ("gradient", 2, 2), ("eigencam", 1, None)):
        found = onnxsal.explain(model, PICTURES[:2], method=method, target=[0, 2], batch_size=together)
        assert all(one.manifest["seconds"] >= 0.04 * runs / (together or 1) for one in found), (method, together)


def test_a_level_without_a_share_is_not_asked_why(runs: list[str]) -> None:
    """An object stands on one level of the pyramid: that the others are empty needs no run of the model."""
    model, picture = onnxsal.load(detectors.bundled()), drawn_objects.picture(0)
    first = onnxsal.explain(model, picture, method="layercam", target=["#1", "#2"])
    layers = first[0].manifest["layer"]
    alone = [[onnxsal.explain(model, picture, method="layercam", target=one.manifest["target"], layer=each).raw.any()
              for each in layers] for one in first]  # fmt: skip
    assert any(not all(each) for each in alone), "on this picture a level has no share"
    del runs[:]
    found = onnxsal.explain(model, picture, method="layercam", target=["#1", "#2"])
    assert runs == ["both"] and all(one.saliency.max() == 1 for one in found)


def test_maps_that_others_beside_it_change_are_made_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scores do not show, a gradient may: the first batch is held against one of its pictures alone."""
    model = onnxsal.load(TinyNet().model())
    alone = onnxsal.explain(model, PICTURES, method="gradient", target=2)
    run_passing = Session.run_passing

    def mixed(self: Session, feeds: Any, outputs: Any, *rest: Any, **options: Any) -> Any:
        found, passed = run_passing(self, feeds, outputs, *rest, **options)
        return {n: a * (1 + 1e-3 * (len(a) - 1)) if n == "saliency" else a for n, a in found.items()}, passed

    monkeypatch.setattr(Session, "run_passing", mixed)
    found = onnxsal.explain(model, PICTURES, method="gradient", target=2, batch_size=3)
    for one, other in zip(found, alone, strict=True):
        assert_array_equal(one.raw, other.raw)
