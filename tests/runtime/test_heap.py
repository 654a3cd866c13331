"""What dropped models leave: graphs are cycles, which go where another model takes as much, and not before."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import onnx_ir as ir
import pytest
from tinynet import TinyNet, image

import onnxsal
from onnxsal.runtime import heap

FILE = TinyNet().model()
BYTES = sum(len(each.raw_data) for each in FILE.graph.initializer)


@pytest.fixture(autouse=True)
def _by_hand() -> Iterator[None]:
    """The collector is on, but does not start by itself, and has nothing to do."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(0)
    yield
    gc.set_threshold(*before)


def explain() -> None:
    onnxsal.explain(onnxsal.load(FILE), image(), method="gradient")


def gradient() -> None:
    onnxsal.gradient(FILE, of=["logits"], wrt=["x"])


def graphs() -> int:
    return sum(issubclass(type(each), ir.Graph) for each in gc.get_objects())


@pytest.mark.parametrize("work", [explain, gradient])
def test_dropped_models_never_pile_up(work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models are as much as is let lie; of each about as many graphs, however many are dropped."""
    before = graphs()
    work()
    each = graphs() - before
    work()
    assert graphs() - before >= 2 * each > 0  # far below 64 MB: not worth a collection
    monkeypatch.setattr(heap, "ENOUGH", 2 * BYTES)
    for _ in range(2):
        work()
        assert graphs() - before <= 2 * each


def test_nothing_is_collected_where_the_collector_is_off_or_what_is_counted_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heap, "ENOUGH", 1)
    explain()
    assert heap.DROPPED.bytes() >= BYTES
    gc.disable()
    lying = graphs()
    heap.DROPPED.collect()
    assert graphs() == lying
    gc.enable()
    heap.DROPPED.collect()
    assert (graphs() < lying, heap.DROPPED.bytes()) == (True, 0)
    model = onnxsal.load(FILE)
    copy = replace(model, preprocess=None)
    del model
    assert heap.DROPPED.bytes() < BYTES  # the copy holds the same graph
    del copy
    assert heap.DROPPED.bytes() >= BYTES
