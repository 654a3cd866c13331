"""What is shared: sessions across methods, layers and targets; one run for several targets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tinynet import TinyNet, image

import onnxsal
from onnxsal.anatomy import X as INPUT
from onnxsal.model.batch_check import PROBES
from onnxsal.runtime import Session

X = image()


class Count:
    """Sessions that were opened, and images that went through those that make a score of a picture."""

    def __init__(self) -> None:
        self.opened: list[Session] = []
        self.images = 0

    @property
    def models(self) -> int:
        """Sessions that hold the whole model: from the picture to scores of all classes."""
        return sum("sal/logits" in session.outputs for session in self.opened)


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Iterator[Count]:
    found = Count()

    class Counting(Session):
        def __init__(self, program, **options) -> None:
            super().__init__(program, **options)
            found.opened.append(self)

        def _run(self, names, given):
            if INPUT in given and "sal/logits" in self.outputs:
                found.images += len(given[INPUT])
            return super()._run(names, given)

    monkeypatch.setattr("onnxsal.model.sessions.Session", Counting)
    monkeypatch.setattr("onnxsal.model.batch_axis.Session", Counting)
    return found


def test_one_session_scores_for_every_method_layer_and_target(count: Count) -> None:
    model = onnxsal.load(TinyNet().model())
    for method in ("score-cam", "ss-cam", "is-cam"):
        for layer in ("a2", "a3"):
            for score in ("logit", "probability"):
                how = {"top_k": 2, **({} if method == "score-cam" else {"samples": 2})}
                onnxsal.explain(model, X, method=method, layer=layer, target=[0, 1, (2, 3)], score=score, **how)
    onnxsal.explain(model, X, method="occlusion", target=1)
    model.predict(X)
    assert count.models == 1


def test_score_runs_use_the_plain_graph(count: Count) -> None:
    model = onnxsal.load(TinyNet().model())
    onnxsal.explain(model, X, method="score-cam", layer="a2", target=1)
    whole = next(session for session in count.opened if "sal/logits" in session.outputs)
    assert whole.outputs == ("sal/logits", "sal/probabilities")
    heads = [session for session in count.opened if "maps" in session.outputs]
    assert [session.outputs for session in heads] == [("maps",)]


def test_wrappers_share_the_session_of_what_they_wrap(count: Count) -> None:
    model = onnxsal.load(TinyNet().model())
    onnxsal.explain(model, X, method="smoothgrad", target=1, samples=2)
    before = len(count.opened)
    onnxsal.explain(model, X, method="vargrad", target=2, samples=2)
    onnxsal.explain(model, X, method="smoothgrad", target=2, samples=3)
    assert len(count.opened) == before


SEVERAL = [
    ("score-cam", {"layer": "a2"}),
    ("score-cam", {"layer": "a2", "preset": "paper"}),
    ("score-cam", {"layer": ["a2", "a3"]}),
    ("ss-cam", {"layer": "a2", "samples": 5, "preset": "paper"}),
    ("is-cam", {"layer": "a2", "samples": 3}),
    ("occlusion", {}),
    ("ablation-cam", {"layer": "a2"}),
]


@pytest.mark.parametrize(("method", "options"), SEVERAL)
@pytest.mark.parametrize("targets", [[0, 3, 1], [(0, 1), (2, 4)]])
def test_several_targets_have_the_maps_that_each_has_alone(tiny, method: str, options: dict, targets: list) -> None:
    together = onnxsal.explain(tiny, X, method=method, target=targets, **options)
    for target, found in zip(targets, together, strict=True):
        alone = onnxsal.explain(tiny, X, method=method, target=target, **options)
        assert found.target == target
        assert_allclose(found.raw, alone.raw, rtol=0, atol=1e-6 * np.abs(alone.raw).max())
        assert (found.stderr is None) == (alone.stderr is None)
        if alone.stderr is not None:
            assert_allclose(found.stderr, alone.stderr, rtol=0, atol=1e-5 * alone.stderr.max())


def test_sums_of_many_targets_are_bound_together(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred boxes of a large picture would take gigabytes: some have runs of their own, with equal maps."""
    targets, options = [0, 3, 1, 4, 2], {"method": "rise", "samples": 12}
    together = onnxsal.explain(tiny, X, target=targets, **options)
    each = 2 * 20 * 8 * X.shape[-1] * X.shape[-2]
    monkeypatch.setattr(sys.modules["onnxsal.streaming.run"], "ROOM", 2 * each + 1)
    found = onnxsal.explain(tiny, X, target=targets, **options)
    assert [e.manifest.get("targets_together", 1) for e in found] == [2, 2, 2, 2, 1]
    assert {e.manifest["targets_together"] for e in together} == {5}
    for one, other in zip(found, together, strict=True):
        assert_array_equal(one.raw, other.raw)
        assert_allclose(one.stderr, other.stderr, rtol=1e-6)


@pytest.mark.parametrize("targets", [[0], [0, 3], [0, 3, 1, 4]])
def test_one_run_serves_several_targets(count: Count, targets: list[int]) -> None:
    """K maps take K runs, not K for each; the manifest counts the runs that there were, and for how many targets."""
    model = onnxsal.load(TinyNet().model())
    before = count.images
    found = onnxsal.explain(model, X, method="score-cam", layer="a2", target=targets)
    maps = 7
    # One to predict, and those that ask once a model whether a batch gives what its pictures give alone.
    assert count.images - before == maps + 1 + 2 * PROBES
    assert {e.manifest["forwards"] for e in found} == {maps + 1}  # and one for the maps
    assert {e.manifest.get("targets_together", 1) for e in found} == {len(targets)}


def test_a_head_that_puts_out_scores_runs_for_every_target(tiny: onnxsal.Model) -> None:
    one, two = (onnxsal.explain(tiny, X, method="occlusion", target=t) for t in ([1], [1, 2]))
    assert two[0].manifest["forwards"] == one[0].manifest["forwards"] + 1
    assert_allclose(two[0].raw, one[0].raw, rtol=0, atol=1e-6)


def test_targets_of_two_kinds_run_apart(tiny: onnxsal.Model) -> None:
    found = onnxsal.explain(tiny, X, method="score-cam", layer="a2", target=[1, (1, 2)])
    assert [e.manifest.get("targets_together") for e in found] == [None, None]
    assert [e.target for e in found] == [1, (1, 2)]


@pytest.mark.parametrize("name", ["mobilenet_v1_025_int8", "mobilenet_v2_int8"])
def test_int8_models_are_scored_as_int8(shared: Path, tmp_path: Path, name: str) -> None:
    """Every score is, bit by bit, what the whole model's session gives; the model is entered by its own first layer."""
    model = onnxsal.load(shared / "models" / f"{name}.onnx", preprocess="raw")
    x = model.prepare(shared / "images" / "imagenet" / "0281_tabby.jpg").x
    feeds = {INPUT: np.stack([x, x * np.float32(0.3)]), "sal/target": np.array([282, 283])}
    score = model.session(model.score("probability")).run(feeds)["score"]
    assert_array_equal(score, [model.scores(row)[1][t] for row, t in zip(feeds[INPUT], (282, 283), strict=True)])
    kinds = {node.op_type for node in optimised(model.program("body", None).to_proto(), tmp_path).graph.node}
    assert "QLinearConv" in kinds
    assert not kinds & {"Conv", "FusedConv"}


def optimised(proto: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return what ONNX Runtime makes of a model before it runs it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimised.onnx")
