"""What lies on the way to each node of trees in pre-order: which players are asked, and the way of computing it.

Nodes that ask the same player (the same feature, or features that move together) share a *slot* on their way. A row's
*pattern* at a node has a bit for each slot above it: whether the row meets all that this player is asked there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ways = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]

ALONE = 16
"""Slots of a leaf whose patterns are tabulated, at most."""

TOGETHER = 12
"""Bits by which leaves are tabulated together, at most: a player's column then fits into the first cache."""

# Nanoseconds, as measured on one core; only their ratios matter.
_BUILD, _ADD, _ANSWER, _PAIR = 0.5, 0.6, 0.3, 12.0
_MET = 0.75  # share of pairs of rows that leave a branch open to one of them


def paths(tests: tuple[Any, ...], players: NDArray[np.int32]) -> Ways:
    """Return of every node its parent, the end of its subtree, its depth, its slot and how many slots lie above it."""
    feature, other, start = tests[0], tests[4], tests[5]
    parent, depth, slot, width = (np.zeros(other.size, np.int32) for _ in range(4))
    end, levels = np.arange(1, other.size + 1, dtype=np.int32), list[NDArray[np.int64]]()
    level = start[:-1]
    parent[level] = -1
    asked = np.zeros((level.size, 0), players.dtype)  # by slot: players above each node of a level
    while level.size:
        inner = other[level] >= 0
        level, asked = level[inner], asked[inner]
        player, slots = players[feature[level]], width[level]
        again = asked == player[:, None]
        again &= np.arange(asked.shape[1]) < slots[:, None]
        slot[level] = np.where(again.any(axis=1), again.argmax(axis=1) if asked.shape[1] else 0, slots)
        below = np.concatenate([level + 1, other[level]])
        parent[below], depth[below] = np.tile(level, 2), len(levels) + 1
        width[below] = np.tile(np.maximum(slots, slot[level] + 1), 2)
        if (slot[level] == asked.shape[1]).any():
            asked = np.pad(asked, ((0, 0), (0, 1)))
        asked[np.arange(level.size), slot[level]] = player
        levels.append(level)
        level, asked = below, np.concatenate([asked, asked])
    for level in reversed(levels):
        end[level] = end[other[level]]
    return parent, end, depth, slot, width


def plan(
    tests: tuple[Any, ...], ways: Ways, players: NDArray[np.int32], columns: NDArray[np.int32],
    sizes: tuple[int, int, int],
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:  # fmt: skip
    """Return what is cheapest, of every node.

    That is how many players a table of all leaves below it has, -1 where there is none, and whether pairs go there.

    Args:
        columns: of every tree how many columns its leaves have weights for.
        sizes: how many rows, how many of the background, and how many slots may be tabulated at most.
    """
    other, start = tests[4], tests[5]
    _, end, _, _, width = ways
    rows, background, most = sizes
    leaf, weighed = other < 0, np.repeat(columns, np.diff(start)).astype(np.float64)
    before = np.concatenate([[0], np.cumsum(leaf)])
    leaves, slots = before[end] - before[:-1], width.astype(np.float64)
    made = np.full(other.size, np.inf)
    few = leaf & (width <= most)
    made[few] = _BUILD * (2.0 ** slots[few] * slots[few] * (slots[few] + 1) + background)
    cost, paired = made + rows * (_ADD * weighed * slots + _ANSWER), rows * background * _PAIR * _MET**slots
    pairs = leaf & (paired < cost)
    together, cost = np.where(leaf & ~pairs, width, -1), np.where(pairs, paired, cost)
    levels = _levels(ways[2], other)
    for level in reversed(levels):
        yes, no = level + 1, other[level]
        made[level], cost[level] = made[yes] + made[no], cost[yes] + cost[no] + rows * _ANSWER
        pairs[level] = pairs[yes] | pairs[no]
        bits = slots[level] + leaves[level] - 1
        small = bits <= min(TOGETHER, most)
        some, bits = level[small], bits[small]
        kept = _distinct(some, tests, ways, players)
        filling = _BUILD * weighed[some] * 2.0**bits * leaves[some] * kept
        whole = made[some] + filling + rows * (_ADD * weighed[some] * kept + _ANSWER * leaves[some])
        better = whole <= cost[some]
        won = some[better]
        cost[won], together[won], pairs[won] = whole[better], kept[better], False
    covered = np.zeros(other.size, bool)  # below a node whose leaves are together: no group of its own
    for level in levels:
        covered[level + 1] = covered[other[level]] = covered[level] | (together[level] >= 0)
    together[covered], pairs[covered] = -1, False
    return together.astype(np.int32), pairs.astype(np.uint8)


def _levels(depth: NDArray[np.int32], other: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """Return the branches of each depth."""
    branches = np.flatnonzero(other >= 0)
    order = branches[np.argsort(depth[branches], kind="stable")]
    ends = np.cumsum(np.bincount(depth[branches]))
    return np.split(order, ends[:-1]) if branches.size else []


def _distinct(
    roots: NDArray[np.int64], tests: tuple[Any, ...], ways: Ways, players: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return how many players are asked on the ways to the leaves of each of some subtrees."""
    _, end, _, slot, width = ways
    sizes = end[roots] - roots
    owner = np.repeat(np.arange(roots.size), sizes)
    node = np.arange(owner.size) + np.repeat(roots - (np.cumsum(sizes) - sizes), sizes)
    new = (tests[4][node] >= 0) & (slot[node] >= width[roots][owner])
    many = int(players.max(initial=0)) + 1
    keys = np.unique(owner[new] * many + players[tests[0][node[new]]])
    return (width[roots] + np.bincount(keys // many, minlength=roots.size)).astype(np.int32)
