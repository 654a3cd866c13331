"""``--memory``: what a run holds beside its batches, and which layer decides."""

from __future__ import annotations

from typing import Any

import pytest
from tinynet import TinyNet, image

import onnxsal
from onnxsal.cli import memory
from onnxsal.explanation.build import build
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.graph.memory import Footprint
from onnxsal.streaming import run
from onnxsal.streaming.moments import Accumulator


@pytest.fixture(scope="module")
def model() -> onnxsal.Model:
    return onnxsal.load(TinyNet().model())


def request_for(model: onnxsal.Model, method: str, layer: Any = None, **options: Any) -> Request:
    how = {"score": None, "seed": 0, "preprocess": None, "common": split_options({})[0]}
    return prepare_request(model, plan(method, options), layer=layer, **how)


def held(sums: Accumulator) -> int:
    return sum(array.nbytes for store in (sums._sums, sums._squares) for array in store.values() if array.ndim > 2)


@pytest.mark.parametrize("samples", [3, 30])
@pytest.mark.parametrize("method", ["smooth-grad-cam++", "smoothgrad", "smoothgrad-squared", "vargrad", "ss-cam"])
def test_running_sums_are_counted(model: onnxsal.Model, monkeypatch, method: str, samples: int) -> None:
    layer = "a1" if method in ("smooth-grad-cam++", "ss-cam") else None
    request = request_for(model, method, layer, samples=samples)
    made, accumulator = [], run._accumulator

    def kept(*given: Any) -> Accumulator:
        made.append(accumulator(*given))
        return made[-1]

    monkeypatch.setattr(run, "_accumulator", kept)
    onnxsal.explain(model, image(), method=method, layer=layer, samples=samples, target=1)
    built = build(model, request.steps, layer=request.layers[0] if layer else None, score=model.score(request.score))
    monkeypatch.setattr(memory, "COPIES", 0)
    (sums,) = made
    assert memory._sums(built, 4 * 3 * 12 * 12, several=False) >= held(sums)
    assert (held(sums) > 0) == (method != "ss-cam")
    if layer is None or method == "ss-cam":
        assert memory._sums(built, 4 * 3 * 12 * 12, several=False) <= 1.01 * held(sums)


def test_the_layer_with_room_for_fewest_decides(model: onnxsal.Model, monkeypatch) -> None:
    """One picture takes more of the second layer, eight of the first."""
    shares = {"a1": Footprint(300, 50), "a2": Footprint(340, 20)}
    monkeypatch.setattr(memory, "_footprint", lambda request, layer: shares[layer.name])
    request = request_for(model, "score-cam", ["a1", "a2"])
    assert memory.batch_size(request, 400) == 2
    assert memory.batch_size(request, 500) == 4
    assert memory.batch_size(request, 10_000) == 8
