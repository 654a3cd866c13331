"""Declared masks in a graph: the file draws what streaming renders; masks of the host are refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from onnxsal.errors import UnsupportedError
from onnxsal.folding.declared import box_masks, coarse_masks
from onnxsal.folding.folded import Folded
from onnxsal.graph import Tape, empty
from onnxsal.records import Boxes, CoarseMasks, Draws, HostMasks, Moments, Record

SIZE = (9, 11)


def places(numbers: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Boxes of 4 x 3 that walk over every border."""
    first = np.stack([numbers % 14 - 4, numbers % 17 - 4], axis=1)
    return np.stack([first, first + np.array([4, 3])], axis=2)


def in_a_graph(write: Callable[[Tape, ir.Value], ir.Value], numbers: np.ndarray) -> np.ndarray:
    op = empty(21)
    model = op.finish(masks=write(op, op.input("numbers", ir.DataType.INT64, ["r"]))).to_proto()
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"numbers": numbers})[0]


@pytest.mark.parametrize(("inside", "outside"), [(0.0, 1.0), (1.0, 0.0), (0.25, 0.75)])
def test_the_file_draws_what_streaming_renders(inside: float, outside: float) -> None:
    boxes = Boxes(14 * 17, places, inside, outside)
    numbers = np.random.default_rng(0).permutation(boxes.count)
    found = in_a_graph(lambda op, wanted: box_masks(op, boxes, SIZE, wanted), numbers)
    assert found.shape == (boxes.count, 1, *SIZE)
    np.testing.assert_array_equal(found[:, 0], boxes.make(0, 0, boxes.count, SIZE)[numbers])


@pytest.mark.parametrize("cells", [(3, 3), (4, 2)])
def test_the_file_enlarges_what_streaming_enlarges(cells: tuple[int, int]) -> None:
    """Cells and weights of no method: any table, rows of which need not add up to one."""
    drawn = np.random.default_rng(3).integers(0, 4, (2, 12, *cells)).astype(bool)
    shifts = np.random.default_rng(4).integers(0, 4, (12, 2))
    tables = [np.random.default_rng(n).normal(size=(n + 3, g)) for n, g in zip(SIZE, cells, strict=True)]

    def draw(seed: int, start: int, stop: int, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        return drawn[seed, start:stop], shifts[start:stop]

    masks, numbers = CoarseMasks(12, draw, lambda size: tuple(tables)), np.array([11, 0, 5, 5])
    found = in_a_graph(lambda op, wanted: coarse_masks(op, masks, SIZE, wanted, 1), numbers)
    assert found.shape == (4, 1, *SIZE)
    np.testing.assert_allclose(found[:, 0], masks.make(1, 0, 12, SIZE)[numbers], rtol=1e-6, atol=1e-7)
    assert not np.array_equal(masks.make(0, 0, 12, SIZE), masks.make(1, 0, 12, SIZE))


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
    [(True, "draws its masks in Python"), (False, r"declare rectangles.*onnxsal\.records\.Boxes")],
)
def test_masks_of_the_host_are_refused(random: bool, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        folded(HostMasks(3, ones, random=random)).declared  # noqa: B018


def test_a_declaration_is_read() -> None:
    boxes = Boxes(5, places)
    assert folded(boxes).declared is boxes
    assert folded(boxes).masks == 5
