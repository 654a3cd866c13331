"""Boxes as masks, against masks written position by position."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onnxsal.records import Boxes, Draws


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
