"""Axes against a picture of numbers: every position of a followed value holds what its atoms say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxsal.anatomy.axes import (
    Atom,
    common,
    cut,
    joined,
    name_of,
    patches,
    positions,
    regrouped,
    stepped,
    tokens_of,
    unknown,
    whole,
)

H, W, B = whole("H", 6), whole("W", 4), whole("B", 5)
START = (B, unknown(3), H, W)
SHAPE = (5, 3, 6, 4)


def labels(axes, tag):
    """For every element, the position along ``tag`` that its atoms say, or None where no axis holds it."""
    shape = [math.prod(a.extent for a in axis) for axis in axes]
    total = np.zeros([a.extent for axis in axes for a in axis], int)
    for i, atom in enumerate(a for axis in axes for a in axis):
        if atom.index is not None and atom.index.name == tag:
            steps = np.arange(atom.extent) * atom.stride
            total += steps.reshape([-1 if j == i else 1 for j in range(total.ndim)])
    return total.reshape(shape)


def image(tag):
    axis = "BCHW".index(tag)
    return np.broadcast_to(np.arange(SHAPE[axis]).reshape([-1 if i == axis else 1 for i in range(4)]), SHAPE)


WINDOWS = [
    ("reshape", (5, 3, 2, 3, 2, 2)), ("transpose", (0, 2, 4, 3, 5, 1)), ("reshape", (20, 6, 3)),
    ("transpose", (0, 2, 1)), ("reshape", (5, 2, 2, 3, 3, 2)), ("transpose", (0, 3, 1, 4, 2, 5)),
    ("reshape", (5, 3, 6, 4)),
]  # fmt: skip
TOKENS = [("reshape", (5, 3, 24)), ("transpose", (0, 2, 1)), ("reshape", (5, 24, 3)), ("reshape", (5, 6, 4, 3))]
HEADS = [("reshape", (5, 1, 3, 24)), ("transpose", (3, 0, 2, 1)), ("reshape", (24, 15)), ("reshape", (24, 5, 3, 1))]


@pytest.mark.parametrize("steps", [WINDOWS, TOKENS, HEADS], ids=["windows", "tokens", "positions first"])
def test_moves_keep_every_position(steps):
    axes, arrays = START, {tag: image(tag) for tag in "BHW"}
    for kind, given in steps:
        if kind == "reshape":
            axes, arrays = regrouped(axes, given), {t: a.reshape(given) for t, a in arrays.items()}
        else:
            axes, arrays = tuple(axes[p] for p in given), {t: a.transpose(given) for t, a in arrays.items()}
        for tag, array in arrays.items():
            np.testing.assert_array_equal(labels(axes, tag), array)


def test_windows_put_together_are_rows_and_columns_again():
    axes = START
    for kind, given in WINDOWS:
        axes = regrouped(axes, given) if kind == "reshape" else tuple(axes[p] for p in given)
    assert [name_of(axis) for axis in axes] == ["B", None, "H", "W"]


def test_windows_themselves_are_no_rows():
    axes = regrouped(START, (5, 3, 2, 3, 2, 2))
    assert [name_of(axis) for axis in axes] == ["B", None, "H", None, "W", None]
    joint = regrouped(tuple(axes[p] for p in (0, 2, 4, 3, 5, 1)), (20, 6, 3))
    assert [name_of(axis) for axis in joint] == [None, None, None]


def test_columns_first_are_no_patches_in_a_row():
    axes = regrouped((B, W, H, unknown(3)), (5, 24, 3))
    assert name_of(axes[1]) is None
    assert name_of(regrouped((B, H, W, unknown(3)), (5, 24, 3))[1]) == "T"


def test_a_cut_that_no_atom_has_makes_the_rest_unknown():
    axes = regrouped((B, whole("H", 6), whole("W", 4)), (5, 8, 3))
    assert [name_of(axis) for axis in axes] == ["B", None, None]
    assert [math.prod(a.extent for a in axis) for axis in axes] == [5, 8, 3]
    assert regrouped(START, (5, 3, 6, 5)) is None


def test_class_tokens():
    axis = patches((6, 4), 1, 25)
    assert name_of(axis) == "T" and tokens_of(axis) == ((6, 4), 1)
    assert cut(axis, 25, 1, 1, 24) == H + W
    assert tokens_of(cut(patches((6, 4), 5, 30), 30, 2, 1, 28)) == ((6, 4), 3)
    assert name_of(cut(axis, 25, 0, 1, 1)) is None
    assert name_of(cut(axis, 25, 2, 1, 23)) is None
    assert positions([axis]) == 24 and positions([H, W]) == 24 and positions([B]) == 1


def test_every_second_row_is_a_coarser_picture():
    assert cut(H, 6, 1, 2, 3) == whole("H", 3)
    assert name_of(cut(H, 6, -1, -1, 5)) is None  # where it begins is not known


def test_atoms_join_only_in_order():
    (atom,) = H
    outer, inner = Atom(atom.index, 2, 3), Atom(atom.index, 1, 2)
    assert joined((outer, inner)) == H
    assert joined((inner, outer)) == (inner, outer)


def test_operands_that_disagree_tell_nothing():
    assert common([H, unknown(6)], 6) == H
    assert common([H, whole("W", 6)], 6) == unknown(6)
    assert common([H, unknown(1)], 6) == H
    assert common([whole("H", 4)], 6) == unknown(6)


def test_a_table_that_counts_in_steps_cuts_windows():
    table = np.arange(6).reshape(2, 3)
    first, second = stepped(H, table)
    assert regrouped((first, second), (6,)) == (H,)
    transposed = stepped(H, table.T)
    assert transposed == [second, first]
    assert stepped(H, table[::-1]) is None
    assert stepped(H, np.array([[0, 1, 2], [3, 4, 4]])) is None
