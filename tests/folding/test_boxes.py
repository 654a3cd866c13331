"""Masks of fixed places in a graph: the file draws what streaming renders; others are refused."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from onnxsal.errors import UnsupportedError
from onnxsal.folding.boxes import box_masks
from onnxsal.folding.folded import Folded
from onnxsal.graph import empty
from onnxsal.records import Boxes, Draws, HostMasks, Moments, Record

SIZE = (9, 11)


def places(numbers: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Boxes of 4 x 3 that walk over every border."""
    first = np.stack([numbers % 14 - 4, numbers % 17 - 4], axis=1)
    return np.stack([first, first + np.array([4, 3])], axis=2)


def in_a_graph(boxes: Boxes, numbers: np.ndarray) -> np.ndarray:
    op = empty(21)
    wanted = op.input("numbers", ir.DataType.INT64, ["r"])
    model = op.finish(masks=box_masks(op, boxes, SIZE, wanted)).to_proto()
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"numbers": numbers})[0]


@pytest.mark.parametrize(("inside", "outside"), [(0.0, 1.0), (1.0, 0.0), (0.25, 0.75)])
def test_the_file_draws_what_streaming_renders(inside: float, outside: float) -> None:
    boxes = Boxes(14 * 17, places, inside, outside)
    numbers = np.random.default_rng(0).permutation(boxes.count)
    found = in_a_graph(boxes, numbers)
    assert found.shape == (boxes.count, 1, *SIZE)
    np.testing.assert_array_equal(found[:, 0], boxes.make(0, 0, boxes.count, SIZE)[numbers])


def folded(masks: HostMasks | Boxes) -> Folded:
    body = empty(21)
    x = body.input("x", ir.DataType.FLOAT, ["N", 3, *SIZE])
    program = body.finish(score=body.ReduceMean(x, [1, 2, 3], keepdims=0))
    record = Record(draws=Draws(masks=masks), body=program, moments=Moments(("score",), per="mask"))
    return Folded(record, "x", (3, *SIZE), 0, lambda op, x: x)


def ones(seed: int, start: int, stop: int, size: tuple[int, int]) -> np.ndarray:
    return np.ones((stop - start, *size), np.float32)


@pytest.mark.parametrize(
    ("random", "words"),
    [(True, "draws its masks on the host"), (False, r"declare rectangles.*onnxsal\.records\.Boxes")],
)
def test_masks_of_the_host_are_refused(random: bool, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        folded(HostMasks(3, ones, random=random)).boxes  # noqa: B018


def test_a_declaration_is_read() -> None:
    boxes = Boxes(5, places)
    assert folded(boxes).boxes is boxes
    assert folded(boxes).masks == 5
