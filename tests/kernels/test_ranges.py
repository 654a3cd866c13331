"""Ranges against the maps themselves, to the bit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.kernels.masks import fill, make_rows
from onnxsal.kernels.placement import WHOLE, Placement, chained, mirrored, part
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


HALF = Fraction(1, 2)
ROLLED = chained([(part(WHOLE, HALF, Fraction(1)), 1), (part(WHOLE, Fraction(0), HALF), 1)]) or WHOLE
PLACES = [
    Placement(mirrored(WHOLE), WHOLE), Placement(ROLLED, ROLLED), Placement(part(WHOLE, -HALF, HALF), mirrored(ROLLED)),
]  # fmt: skip


@pytest.mark.parametrize("placement", PLACES)
def test_ranges_of_maps_that_lie_elsewhere(placement):
    grids, x = RNG.standard_normal((20, 7, 6)).astype(np.float32), RNG.standard_normal((3, 30, 41)).astype(np.float32)
    maps = bilinear(grids, (30, 41), placement)
    for found, expected in zip(upsampled_range(grids, (30, 41), placement), (maps.min, maps.max), strict=True):
        np.testing.assert_array_equal(found, expected(axis=(1, 2)))
    rows, out = make_rows(20, mask=np.arange(20)), np.empty((20, *x.shape), np.float32)
    fill(out, x, rows, grids=grids, placement=placement)
    low, high = masked_range(x, grids, placement=placement)
    np.testing.assert_allclose(low, out.min(axis=(1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(high, out.max(axis=(1, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("placement", PLACES)
def test_masks_that_lie_elsewhere(placement):
    grids, x = RNG.standard_normal((2, 4, 5)).astype(np.float32), RNG.standard_normal((3, 9, 11)).astype(np.float32)
    out = np.empty((2, *x.shape), np.float32)
    fill(out, x, make_rows(2, mask=[1, 0]), grids=grids, placement=placement)
    np.testing.assert_allclose(out, x * bilinear(grids[::-1], (9, 11), placement)[:, None], atol=1e-6)
