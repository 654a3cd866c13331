"""Declared masks, against masks written position by position."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onnxsal.records import Boxes, CoarseMasks, Draws


def slow(box: np.ndarray, size: tuple[int, ...], inside: float, outside: float) -> np.ndarray:
    mask = np.full(size, outside, np.float32)
    for position in itertools.product(*map(range, size)):
        if all(first <= at < end for at, (first, end) in zip(position, box, strict=True)):
            mask[position] = inside
    return mask


@pytest.mark.parametrize("size", [(7,), (5, 6), (3, 4, 2)])
@pytest.mark.parametrize(("inside", "outside"), [(0.0, 1.0), (1.0, 0.0), (-2.0, 0.5)])
def test_boxes_of_any_rank_are_cut_off_at_the_borders(size: tuple[int, ...], inside: float, outside: float) -> None:
    """Some lie over a border, some beyond it, some are empty or turned round."""
    drawn = np.random.default_rng(len(size)).integers(-4, 10, (40, len(size), 2))
    boxes = Boxes(40, lambda numbers, _: drawn[numbers], inside, outside)
    wanted = np.stack([slow(box, size, inside, outside) for box in drawn])
    np.testing.assert_array_equal(boxes.make(0, 0, 40, size), wanted)
    np.testing.assert_array_equal(boxes.make(7, 11, 23, size), wanted[11:23])
    within = boxes.bounds(np.arange(40), size)
    assert within.min() >= 0
    assert (within <= np.array(size)[:, None]).all()


def test_boxes_are_one_sample_together() -> None:
    assert not Draws(masks=Boxes(3, lambda numbers, _: np.zeros((len(numbers), 2, 2), np.int64))).sampled


@pytest.mark.parametrize("size", [(5,), (4, 6), (2, 3, 4)])
def test_coarse_masks_of_any_rank(size: tuple[int, ...]) -> None:
    """A position is worth the sum over cells of the cell times its weight along every axis, from the shift on."""
    rng = np.random.default_rng(len(size))
    cells = rng.integers(0, 2, (6, *range(2, 2 + len(size)))).astype(bool)
    shifts, tables = rng.integers(0, 3, (6, len(size))), [rng.random((n + 2, 2 + axis)) for axis, n in enumerate(size)]
    masks = CoarseMasks(
        6, lambda seed, start, stop, _: (cells[start:stop], shifts[start:stop]), lambda _: tuple(tables)
    )
    found = masks.make(0, 2, 6, size)
    assert found.dtype == np.float32
    for mask, own, shift in zip(found, cells[2:], shifts[2:], strict=True):
        for position in itertools.product(*map(range, size)):
            weights = [t[first + at] for t, first, at in zip(tables, shift, position, strict=True)]
            places = itertools.product(*map(range, own.shape))
            wanted = sum(own[cell] * np.prod([w[i] for w, i in zip(weights, cell, strict=True)]) for cell in places)
            assert mask[position] == pytest.approx(wanted, rel=1e-6)
    assert Draws(masks=masks).sampled
