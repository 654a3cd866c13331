"""What lies on the way to each node of trees in pre-order: which players are asked, and the way of computing it.

Nodes that ask the same player (the same feature, or features that move together) share a *slot* on their way. A row's
*pattern* at a node has a bit for each slot above it: whether the row meets all that this player is asked there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxsal.kernels.native import kernel, part

ALONE = 16
"""Slots of a leaf whose patterns are tabulated, at most."""

TOGETHER = 12
"""Bits by which leaves are tabulated together, at most: a player's column then fits into the first cache."""

# Nanoseconds, as measured on one core; only their ratios matter.
_BUILD, _ADD, _ANSWER, _PAIR = 0.5, 0.6, 0.3, 12.0
_MET = 0.75  # share of pairs of rows that leave a branch open to one of them


@kernel
def paths(tests: Any, players: Any) -> Any:
    """Return of every node its parent, the end of its subtree, its depth, its slot and how many slots lie above it."""
    feature, other, start = tests[0], tests[4], tests[5]
    count = other.size
    parent, end = np.zeros(count, np.int32), np.zeros(count, np.int32)
    depth, slot, width = np.zeros(count, np.int32), np.zeros(count, np.int32), np.zeros(count, np.int32)
    for tree in range(start.size - 1):
        parent[start[tree]] = -1
        for node in range(start[tree], start[tree + 1]):
            if other[node] >= 0:
                parent[node + 1], parent[other[node]] = node, node
        for node in range(start[tree + 1] - 1, start[tree] - 1, -1):
            end[node] = node + 1 if other[node] < 0 else end[other[node]]
        path = np.zeros(_branches(other, start[tree], start[tree + 1]) + 1, players.dtype)
        for node in range(start[tree], start[tree + 1]):
            above = parent[node]
            if above >= 0:
                depth[node] = depth[above] + 1
                new = slot[above] == width[above]
                width[node] = width[above] + (1 if new else 0)
                path[slot[above]] = players[feature[above]]
            if other[node] >= 0:
                slot[node] = width[node]
                for i in range(width[node]):
                    if path[i] == players[feature[node]]:
                        slot[node] = i
    return parent, end, depth, slot, width


@part
def _branches(other: Any, begin: Any, end: Any) -> Any:
    """Return how many branches a tree has."""
    branches = 0
    for node in range(begin, end):
        if other[node] >= 0:
            branches += 1
    return branches


@part
def _distinct(root: Any, tests: Any, ways: Any, players: Any) -> Any:
    """Return how many players are asked on the ways to a subtree's leaves."""
    feature, other = tests[0], tests[4]
    _, end, _, slot, width = ways
    found = width[root]
    for node in range(root, end[root]):
        if other[node] >= 0 and slot[node] >= width[root]:
            again = False
            for before in range(root, node):
                if other[before] >= 0 and slot[before] >= width[root]:
                    again = again or players[feature[before]] == players[feature[node]]
            found += 0 if again else 1
    return found


@kernel
def plan(tests: Any, ways: Any, players: Any, columns: Any, sizes: Any) -> Any:
    """Return what is cheapest, of every node.

    That is how many players a table of all leaves below it has, -1 where there is none, and whether pairs go there.

    Args:
        columns: of every tree how many columns its leaves have weights for.
        sizes: how many rows, how many of the background, and how many slots may be tabulated at most.
    """
    other, start = tests[4], tests[5]
    _, end, _, _, width = ways
    rows, background, most = sizes
    together, pairs = np.zeros(other.size, np.int32), np.zeros(other.size, np.uint8)
    cost, made, leaves = np.zeros(other.size), np.zeros(other.size), np.zeros(other.size, np.int32)
    for tree in range(start.size - 1):
        adds = _ADD * columns[tree]
        for node in range(start[tree + 1] - 1, start[tree] - 1, -1):
            slots, together[node] = width[node], -1
            if other[node] < 0:
                leaves[node] = 1
                paired = rows * background * _PAIR * _MET**slots
                made[node] = np.inf
                if slots <= most:
                    made[node] = _BUILD * (2.0**slots * slots * (slots + 1) + background)
                cost[node] = made[node] + rows * (adds * slots + _ANSWER)
                together[node] = slots
                if paired < cost[node]:
                    cost[node], together[node], pairs[node] = paired, -1, 1
                continue
            yes, no = node + 1, other[node]
            leaves[node] = leaves[yes] + leaves[no]
            made[node] = made[yes] + made[no]
            cost[node] = cost[yes] + cost[no] + rows * _ANSWER
            pairs[node] = pairs[yes] | pairs[no]
            bits = slots + leaves[node] - 1
            if bits <= min(TOGETHER, most):
                kept = _distinct(node, tests, ways, players)
                filling = _BUILD * columns[tree] * 2.0**bits * leaves[node] * kept
                whole = made[node] + filling + rows * (adds * kept + _ANSWER * leaves[node])
                if whole <= cost[node]:
                    cost[node], together[node], pairs[node] = whole, kept, 0
        node = start[tree]
        while node < start[tree + 1]:  # what lies below a node whose leaves are together is no group of its own
            if together[node] >= 0:
                for below in range(node + 1, end[node]):
                    together[below], pairs[below] = -1, 0
                node = end[node]
            else:
                node += 1
    return together, pairs
