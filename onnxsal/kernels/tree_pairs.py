"""Exact interventional Shapley values pair by pair: few rows, or leaves with more players than can be tabulated.

A row and a row of the background walk through a tree together. Where they part, the player that is asked takes either
side: on the row's it has to be in the coalition from there on, on the background's out of it. A leaf behind p players
that are in and n that are out is worth (p - 1)! n! / (p + n)! of its weight to each of the p, and as much less
-p! (n - 1)! / (p + n)! to each of the n (Lundberg et al. 2020, arXiv:1905.04610).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxsal.kernels.native import kernel, part
from onnxsal.kernels.tree_walk import passes

BACKGROUND = 256
"""Rows of the background whose answers are kept at once."""

IN, OUT = 1, 2


@kernel
def add_pairs(out: Any, columns: Any, background: Any, context: Any, pairs: Any, span: Any) -> None:
    """Add to ``out`` [players, columns, rows] what leaves under ``pairs`` are worth, as a mean over the background.

    Args:
        columns, background: [F, rows].
        context: tests, weights, ways, players by feature.
        pairs: of every node whether leaves below it are meant.
        span: the first row and the end of rows, and of the background.
    """
    tests, _, ways, players = context
    start, share = tests[5], 1.0 / background.shape[1]
    table = _shares(_most(ways[4]) + 2)
    largest = 0
    for tree in range(start.size - 1):
        largest = max(largest, start[tree + 1] - start[tree])
    mine, theirs = np.zeros(largest, np.uint8), np.zeros((BACKGROUND, largest), np.uint8)
    sums = np.zeros((_most(players) + 1, out.shape[1]))
    depth = _most(ways[2]) + 2
    side, fixed, stack = np.zeros(sums.shape[0], np.uint8), np.zeros(depth, np.int32), np.zeros((depth, 4), np.int64)
    for tree in range(start.size - 1):
        begin, end = start[tree], start[tree + 1]
        if not pairs[begin]:
            continue
        for first in range(span[2], span[3], BACKGROUND):
            size = min(BACKGROUND, span[3] - first)
            for z in range(size):
                _answer(theirs[z], background, first + z, (begin, end), tests, pairs)
            for row in range(span[0], span[1]):
                _answer(mine, columns, row, (begin, end), tests, pairs)
                for z in range(size):
                    _pair(sums, (begin, share), context, pairs, (side, fixed, stack, mine, theirs[z], table))
                for player in range(sums.shape[0]):
                    for k in range(out.shape[1]):
                        if player < out.shape[0]:
                            out[player, k, row] += sums[player, k]
                        sums[player, k] = 0


@part
def _answer(mine: Any, columns: Any, row: Any, span: Any, tests: Any, pairs: Any) -> None:
    begin, end = span
    for node in range(begin, end):
        if pairs[node] and tests[4][node] >= 0:
            mine[node - begin] = passes(columns[tests[0][node], row], node, tests)


@part
def _most(values: Any) -> Any:
    most = 0
    for value in values:
        most = max(most, value)
    return most


@part
def _shares(size: Any) -> Any:
    """Return p! n! / (p + n)! for p and n below ``size``, by their sum: [p, p + n]."""
    table = np.zeros((size, size))
    for total in range(size):
        table[0, total] = 1
        for p in range(1, total + 1):
            table[p, total] = table[p - 1, total] * p / (total - p + 1)
    return table


@part
def _pair(sums: Any, at: Any, context: Any, pairs: Any, work: Any) -> None:
    tests, held, _, players = context
    first, column, weight = held
    side, fixed, stack, mine, theirs, table = work
    feature, other = tests[0], tests[4]
    begin, share = at
    node, count, inside, open_ends = begin, 0, 0, 0
    while True:
        while pairs[node] and other[node] >= 0:
            one, two = mine[node - begin], theirs[node - begin]
            player = players[feature[node]]
            taken = one
            if one != two:
                if side[player] == 0:
                    stack[open_ends, 0] = node + 1 if two else other[node]
                    stack[open_ends, 1], stack[open_ends, 2], stack[open_ends, 3] = count, inside, player
                    open_ends += 1
                    side[player], fixed[count] = IN, player
                    count += 1
                    inside += 1
                elif side[player] == OUT:
                    taken = two
            node = node + 1 if taken else other[node]
        if pairs[node] and count:
            total = share * table[inside, count]
            for w in range(first[node], first[node + 1]):
                for i in range(count):
                    if side[fixed[i]] == IN:
                        sums[fixed[i], column[w]] += weight[w] * total / inside
                    else:
                        sums[fixed[i], column[w]] -= weight[w] * total / (count - inside)
        if not open_ends:
            break
        open_ends -= 1
        node = stack[open_ends, 0]
        for i in range(stack[open_ends, 1], count):
            side[fixed[i]] = 0
        count, inside = stack[open_ends, 1], stack[open_ends, 2]
        player = stack[open_ends, 3]
        side[player], fixed[count] = OUT, player
        count += 1
    for i in range(count):
        side[fixed[i]] = 0
