"""Placements against tables: an axis of numbered positions is cut, turned and put together as the stretches say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from onnxsal.kernels.placement import (
    WHOLE,
    Placement,
    Side,
    alike,
    chained,
    covered_share,
    from_cells,
    mirrored,
    oriented,
    part,
    without_copies,
)

N = 24


def share(position: int) -> Fraction:
    return Fraction(position, N)


def held(side: Side, size: int) -> list[int | None]:
    """Return which of the picture's N positions every position of an axis holds, by the middle of its cell."""
    found: list[int | None] = []
    for i in range(size):
        at = Fraction(2 * i + 1, 2 * size)
        inside = [s for s in side if s.low <= at < s.high]
        found.append(int((inside[0].start + (at - inside[0].low) * inside[0].slope) * N) if inside else None)
    return found


POSITIONS = list(range(N))


@pytest.mark.parametrize(("low", "high"), [(3, 17), (0, 24), (-5, 24), (4, 30), (-3, 29), (30, 40)])
def test_a_part_of_an_axis(low, high):
    expected = [i if 0 <= i < N else None for i in range(low, high)]
    assert held(part(WHOLE, share(low), share(high)), high - low) == expected
    turned = held(mirrored(part(mirrored(WHOLE), share(low), share(high))), high - low)
    assert turned == [
        None if i is None else i for i in [N - 1 - j if 0 <= j < N else None for j in range(low, high)][::-1]
    ]


def test_parts_of_parts_are_the_whole_again():
    left, right = part(WHOLE, share(0), share(7)), part(WHOLE, share(7), share(24))
    rolled = chained([(right, 17), (left, 7)])
    assert rolled is not None and held(rolled, N) == POSITIONS[7:] + POSITIONS[:7]
    back = chained([(part(rolled, share(17), share(24)), 7), (part(rolled, share(0), share(17)), 17)])
    assert back == WHOLE and mirrored(mirrored(rolled)) == rolled


def test_the_same_twice_is_nowhere_but_margins_are():
    assert chained([(WHOLE, N), (mirrored(WHOLE), N)]) is None
    circular = chained([(part(WHOLE, share(21), share(24)), 3), (WHOLE, N), (part(WHOLE, share(0), share(3)), 3)])
    assert circular is not None and held(circular, 30) == POSITIONS[21:] + POSITIONS + POSITIONS[:3]
    assert held(without_copies(circular) or (), 30) == [None] * 3 + POSITIONS + [None] * 3
    assert alike(circular, part(WHOLE, share(-3), share(27)), share(0))


@pytest.mark.parametrize("numbers", [POSITIONS[::-1], POSITIONS[5:19], [9, 2, 3, 4, 20, 19, 0]])
def test_single_positions(numbers):
    side = from_cells([(share(i), share(i + 1)) for i in numbers], WHOLE)
    assert side is not None and held(side, len(numbers)) == numbers


def test_single_positions_that_go_down_are_a_mirror():
    cells = [part(WHOLE, share(i), share(i + 1)) for i in POSITIONS[::-1]]
    assert chained([(cell, 1) for cell in oriented(cells)]) == mirrored(WHOLE)
    assert chained([(cell, 1) for cell in oriented(cells[::-1])]) == WHOLE


def test_shares_of_the_picture():
    assert covered_share(WHOLE) == 1 and covered_share(()) == 0
    crop = part(WHOLE, share(6), share(18))
    assert covered_share(crop) == Fraction(1, 2) and Placement(crop, crop).area == Fraction(1, 4)
    assert Placement(part(WHOLE, share(-9), share(24))).has_all and not Placement(mirrored(WHOLE)).has_all


def test_what_lies_nearly_alike():
    moved = part(WHOLE, share(1), share(25))
    assert alike(WHOLE, moved, share(1)) and not alike(WHOLE, moved, share(1) / 2)
    assert not alike(WHOLE, mirrored(WHOLE), Fraction(1, 8))


def test_how_people_read_it():
    assert str(Placement()) == ""
    assert str(Placement(mirrored(WHOLE), part(WHOLE, share(6), share(24)))) == "rows 100-0 %, columns 25-100 %"
    many = from_cells([(share(i), share(i + 1)) for i in np.random.default_rng(0).permutation(N).tolist()], WHOLE)
    assert many is not None and str(Placement(many)).startswith("rows in ")
