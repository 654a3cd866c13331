"""Ranges against the maps themselves, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.kernels.masks import fill, make_rows
from onnxsal.kernels.ranges import masked_range, upsampled_range
from onnxsal.kernels.resize import bilinear

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("grid", "size"), [((7, 7), (224, 224)), ((13, 5), (29, 40)), ((9, 9), (4, 3)), ((1, 1), (3, 2))]
)
def test_upsampled_range_is_that_of_the_upsampled_maps(grid, size):
    grids = (RNG.standard_normal((30, *grid)) * 10.0 ** RNG.integers(-3, 4, (30, 1, 1))).astype(np.float32)
    low, high = upsampled_range(grids, size)
    maps = bilinear(grids, size)
    np.testing.assert_array_equal(low, maps.min(axis=(1, 2)))
    np.testing.assert_array_equal(high, maps.max(axis=(1, 2)))


def test_the_range_of_the_upsampled_map_is_not_that_of_the_grid():
    """Half-pixel centres may miss a peak of the grid, so normalising before or after upsampling differs."""
    grids = np.zeros((1, 4, 4), np.float32)
    grids[0, 1, 1] = 1
    assert upsampled_range(grids, (6, 6))[1][0] < 1


def test_a_flat_map_has_an_empty_range():
    low, high = upsampled_range(np.full((2, 3, 3), np.float32(0.1)), (50, 41))
    np.testing.assert_array_equal(low, high)


@pytest.mark.parametrize("per_grid", [False, True])
def test_masked_range_is_that_of_the_filled_rows(per_grid):
    x = RNG.standard_normal((3, 20, 17)).astype(np.float32)
    grids = RNG.standard_normal((6, 4, 5)).astype(np.float32)
    gain, offset = RNG.standard_normal((2, 6)) if per_grid else (1.7, -0.4)
    out = np.empty((6, *x.shape), np.float32)
    fill(out, x, make_rows(6, mask=np.arange(6), gain=gain, offset=offset), grids=grids)
    low, high = masked_range(x, grids, gain=gain, offset=offset)
    np.testing.assert_array_equal(low, out.min(axis=(1, 2, 3)))
    np.testing.assert_array_equal(high, out.max(axis=(1, 2, 3)))


def test_no_grids_have_no_ranges():
    assert [part.size for part in upsampled_range(np.zeros((0, 3, 3), np.float32), (5, 5))] == [0, 0]


def test_wrong_shapes_are_refused():
    with pytest.raises(UsageError, match="K, h, w"):
        upsampled_range(np.zeros((3, 3), np.float32), (5, 5))
    with pytest.raises(UsageError, match="C, H, W"):
        masked_range(np.zeros((3, 3), np.float32), np.zeros((1, 3, 3), np.float32))
