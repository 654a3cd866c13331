"""Patterns of rows on their way through trees: a bit for each player that is asked, whether all it is asked is met."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxsal.kernels.native import part
from onnxsal.kernels.tree_walk import answers


@part
def pattern(into: Any, above: Any, answer: Any, wanted: Any, way: Any) -> None:
    """Write patterns at a child: those above it, and whether ``answer`` of its parent is the one that leads here."""
    slot, new = way
    if new:
        for r in range(answer.size):
            into[r] = above[r] | (np.int32(answer[r] == wanted) << slot)
    else:
        for r in range(answer.size):
            into[r] = above[r] & ~(np.int32(answer[r] != wanted) << slot)


@part
def enter(node: Any, patterns: Any, answered: Any, ways: Any) -> None:
    parent, _, depth, slot, width = ways
    above = parent[node]
    if above >= 0:
        way = slot[above], slot[above] == width[above]
        pattern(patterns[depth[node]], patterns[depth[above]], answered[depth[above]], node == above + 1, way)


@part
def states_of(into: Any, root: Any, columns: Any, begin: Any, tests: Any, ways: Any) -> None:
    """Add to patterns at a group's root a bit for every branch of the group: whether its test holds."""
    feature, other = tests[0], tests[4]
    bit, answer = ways[4][root], np.zeros(into.size, np.uint8)
    for node in range(root, ways[1][root]):
        if other[node] >= 0:
            answers(answer, columns[feature[node], begin : begin + into.size], node, tests)
            for r in range(into.size):
                into[r] |= np.int32(answer[r]) << bit
            bit += 1


@part
def leaf_patterns(into: Any, leaf: Any, root: Any, tests: Any, ways: Any) -> None:
    """Write a leaf's pattern for every state of its group."""
    _, _, _, slot, width = ways
    other = tests[4]
    for state in range(into.size):
        into[state] = state & ((1 << width[root]) - 1)
    node = root
    bit = width[root]
    for at in range(root, leaf):  # branches in pre-order; those above the leaf are the ones whose subtree holds it
        if other[at] < 0:
            continue
        if at == node:
            wanted = 0 if leaf >= other[at] else 1
            new = slot[at] == width[at]
            for state in range(into.size):
                met = (state >> bit) & 1 == wanted
                if new:
                    into[state] |= np.int32(met) << slot[at]
                elif not met:
                    into[state] &= ~(np.int32(1) << slot[at])
            node = at + 1 if wanted else other[at]
        bit += 1
