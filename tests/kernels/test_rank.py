"""Pixel order against Python's own stable sort."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.kernels.rank import order, rank


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, np.bool_])
def test_order_is_descending_and_keeps_the_reading_order_of_equals(dtype):
    maps = np.random.default_rng(0).integers(0, 6, (2, 3, 7, 5)).astype(dtype)
    for index in np.ndindex(2, 3):
        flat = maps[index].ravel().tolist()
        expected = sorted(range(35), key=lambda i, flat=flat: -flat[i])
        assert order(maps)[index].tolist() == expected
        assert [rank(maps)[index].ravel()[i] for i in expected] == list(range(35))


def test_nan_comes_last_and_infinities_in_their_place():
    values = np.array([[np.nan, -np.inf, 1.0], [np.inf, 2.0, np.nan]], np.float32)
    assert order(values).tolist() == [3, 4, 2, 1, 0, 5]
    assert rank(values).tolist() == [[4, 3, 2], [0, 1, 5]]


def test_no_maps_have_no_order() -> None:
    assert order(np.zeros((0, 2, 3))).shape == (0, 6)
