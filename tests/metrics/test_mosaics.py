"""Mosaics: where each picture lies, and what shrinking keeps."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.metrics.mosaics import cells, mosaic, shrunk
from onnxsal.metrics.pointing import grid_pointing

RNG = np.random.default_rng(9)


def test_each_picture_lies_in_its_cell() -> None:
    pictures = np.arange(4.0).reshape(4, 1, 1, 1) * np.ones((1, 2, 7, 8))
    found = mosaic(pictures)
    assert found.shape == (2, 7, 8)
    for i, cell in enumerate(cells(4, (7, 8))):
        np.testing.assert_allclose(found[:, cell], i, rtol=1e-6)


def test_cells_part_the_picture() -> None:
    for count, size in ((4, (224, 224)), (4, (7, 9)), (9, (10, 11))):
        found = cells(count, size)
        np.testing.assert_array_equal(found.sum(axis=0), 1)
        assert np.ptp(found.sum(axis=(1, 2))) <= 2 * max(size) / np.sqrt(count) + 1
    assert cells(4, (6, 6))[1].nonzero()[0].max() == 2
    assert cells(4, (6, 6))[1].nonzero()[1].min() == 3


def test_an_even_picture_shrinks_to_the_means_of_its_squares() -> None:
    picture = RNG.random((3, 8, 6))
    expected = picture.reshape(3, 4, 2, 3, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(shrunk(picture, (4, 3)), expected, rtol=1e-6)


def test_shrinking_keeps_the_mean_whatever_the_size() -> None:
    picture = RNG.random((3, 13, 11))
    for size in ((13, 11), (6, 5), (7, 4), (1, 1)):
        assert shrunk(picture, size).mean() == pytest.approx(picture.mean())
    np.testing.assert_allclose(shrunk(picture, (13, 11)), picture, rtol=1e-6)


def test_a_map_that_finds_its_cell() -> None:
    right = cells(4, (8, 8))[2]
    assert grid_pointing(right * RNG.random((8, 8)), right).value == 1
    assert grid_pointing(np.ones((8, 8)), right).value == 0.25


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_only_squares_of_pictures(count: int) -> None:
    with pytest.raises(UsageError, match=f"4, 9, 16 ... pictures, got {count}"):
        mosaic(np.zeros((count, 3, 8, 8)))
    with pytest.raises(UsageError, match=r"\[n \* n, C, H, W\], got \[4, 8, 8\]"):
        mosaic(np.zeros((4, 8, 8)))
