"""Masks of fixed places as rectangles: what is read back is what the host makes; other masks are refused."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from onnxsal.errors import UnsupportedError
from onnxsal.folding.boxes import boxes
from onnxsal.graph import empty
from onnxsal.records import HostMasks

SIZE = (9, 11)


def rectangles(inside: float, outside: float) -> HostMasks:
    def make(seed: int, start: int, stop: int, size: tuple[int, int]) -> np.ndarray:
        made = np.full((stop - start, *size), outside, np.float32)
        for mask, number in zip(made, range(start, stop), strict=True):
            mask[number % 5 : number % 5 + 4, number % 9 : number % 9 + 3] = inside
        return made

    return HostMasks(100, make, random=False)


@pytest.mark.parametrize(("inside", "outside"), [(0.0, 1.0), (1.0, 0.0)])
def test_rectangles_come_back(inside: float, outside: float) -> None:
    host, op = rectangles(inside, outside), empty(21)
    numbers = op.input("numbers", ir.DataType.INT64, ["r"])
    model = op.finish(masks=boxes(host, SIZE).masks(op, numbers)).to_proto()
    wanted = np.array([0, 7, 63, 64, 99])
    (found,) = ort.InferenceSession(model.SerializeToString()).run(None, {"numbers": wanted})
    np.testing.assert_array_equal(found[:, 0], host.make(0, 0, 100, SIZE)[wanted])


def test_an_empty_rectangle_is_a_mask_of_one_value() -> None:
    host = HostMasks(1, lambda seed, start, stop, size: np.ones((1, *size), np.float32), random=False)
    assert boxes(host, SIZE).bounds.tolist() == [[0, 0, 0, 0]]


def test_random_masks_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="on the host"):
        boxes(HostMasks(1, lambda seed, start, stop, size: np.ones((1, *size), np.float32)), SIZE)


@pytest.mark.parametrize("kind", ["two parts", "grey"])
def test_masks_that_are_no_rectangles_are_refused(kind: str) -> None:
    def make(seed: int, start: int, stop: int, size: tuple[int, int]) -> np.ndarray:
        made = np.ones((stop - start, *size), np.float32)
        made[:, 0, 0], made[:, 5, 5] = (0, 0) if kind == "two parts" else (0.5, 1)
        return made

    with pytest.raises(UnsupportedError, match="no rectangles"):
        boxes(HostMasks(3, make, random=False), SIZE)
