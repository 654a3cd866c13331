"""Exact interventional Shapley values of pairs of rows: few rows, or leaves with more players than can be tabulated.

A leaf is worth something to a pair (a row, a row of the background) if each player on its way is met by one of the two
at least. Those that only the row meets, p of them, have to be in the coalition and are worth (p - 1)! n! / (p + n)! of
the leaf's weight each; those that only the background meets, n of them, as much less, -p! (n - 1)! / (p + n)! (Lundberg
et al. 2020, arXiv:1905.04610). A row walks through a tree with those rows of the background for which leaves below can
still be worth something; where none is left, it turns back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxsal.kernels.native import kernel, part
from onnxsal.kernels.tree_walk import answers, passes

BACKGROUND = 128
"""Rows of the background that are walked with together."""

BITS = 62
"""Slots in one word of a pattern."""


@kernel
def add_pairs(out: Any, columns: Any, background: Any, context: Any, given: Any, span: Any) -> None:
    """Add to ``out`` [rows, players, columns] what some leaves are worth, as a mean over the background.

    Args:
        columns, background: [F, rows].
        context: tests, weights, ways, players by feature.
        given: of every node whether leaves below it are meant; p! n! / (p + n)! by p and p + n, as a share of the
            background.
        span: the first row and the end of rows, and of the background.
    """
    (tests, _, ways, _), (pairs, table) = context, given
    start, most, deep = tests[5], _most(ways[4]) + 1, _most(ways[2]) + 1
    words = most // BITS + 1
    largest = 0
    for tree in range(start.size - 1):
        largest = max(largest, start[tree + 1] - start[tree])
    theirs = np.zeros((largest, words, BACKGROUND), np.int64)
    mine, answer = np.zeros((deep, words), np.int64), np.zeros((deep, BACKGROUND), np.uint8)
    alive, count = np.zeros((deep, BACKGROUND), np.int32), np.zeros(deep, np.int32)
    values, names = np.zeros(most), np.zeros(most, np.int32)
    for tree in range(start.size - 1):
        if not pairs[start[tree]]:
            continue
        bounds = start[tree], start[tree + 1]
        for first in range(span[2], span[3], BACKGROUND):
            size = min(BACKGROUND, span[3] - first)
            _patterns(theirs, answer, background, (first, size), bounds, (tests, ways, pairs))
            for row in range(span[0], span[1]):
                _walk(
                    out,
                    columns,
                    row,
                    (bounds, size),
                    context,
                    (pairs, theirs, mine, alive, count, values, names, table),
                )


@part
def _most(values: Any) -> Any:
    most = 0
    for value in values:
        most = max(most, value)
    return most


@part
def _patterns(theirs: Any, answer: Any, background: Any, chunk: Any, bounds: Any, what: Any) -> None:
    """Write of every node and row of the background a bit for each slot above: whether it meets all that is asked."""
    tests, (parent, end, depth, slot, width), pairs = what
    node = bounds[0]
    while node < bounds[1]:
        if not pairs[node]:
            node = end[node]
            continue
        above, here = parent[node], theirs[node - bounds[0]]
        for w in range(theirs.shape[1]):
            for z in range(chunk[1]):
                here[w, z] = theirs[above - bounds[0], w, z] if above >= 0 else 0
        if above >= 0:
            word, bit = slot[above] // BITS, np.int64(1) << (slot[above] % BITS)
            new, wanted, said = slot[above] == width[above], node == above + 1, answer[depth[above]]
            for z in range(chunk[1]):
                if (said[z] == 1) == wanted:
                    here[word, z] |= bit if new else 0
                else:
                    here[word, z] &= ~bit
        if tests[4][node] >= 0:
            of = background[tests[0][node], chunk[0] : chunk[0] + chunk[1]]
            answers(answer[depth[node], : chunk[1]], of, node, tests)
        node += 1


@part
def _walk(out: Any, columns: Any, row: Any, where: Any, context: Any, work: Any) -> None:
    """Add what one row's pairs with a part of the background are worth in one tree."""
    tests, _, (parent, end, depth, slot, width), players = context
    pairs, theirs, mine, alive, count, values, names, table = work
    bounds, size = where
    words = mine.shape[1]
    node = bounds[0]
    while node < bounds[1]:
        if not pairs[node]:
            node = end[node]
            continue
        d, above = depth[node], parent[node]
        if above < 0:
            for w in range(words):
                mine[0, w] = 0
            for z in range(size):
                alive[0, z] = z
            count[0] = size
        else:
            met = passes(columns[tests[0][above], row], above, tests) == (node == above + 1)
            for w in range(words):
                mine[d, w] = mine[d - 1, w]
            word, bit = slot[above] // BITS, np.int64(1) << (slot[above] % BITS)
            if not met:
                mine[d, word] &= ~bit
            elif slot[above] == width[above]:
                mine[d, word] |= bit
            names[slot[above]] = players[tests[0][above]]
            _filter(alive, count, mine[d], theirs[node - bounds[0]], (d, width[node]))
            if not count[d]:
                node = end[node]
                continue
        if tests[4][node] < 0:
            _leaf(values, alive[d, : count[d]], mine[d], theirs[node - bounds[0]], (width[node], table))
            _spread(out, values, names, (node, row, width[node]), context)
        node += 1


@part
def _filter(alive: Any, count: Any, mine: Any, theirs: Any, at: Any) -> None:
    """Keep those of the background that meet all that the row does not."""
    d, slots = at
    size = count[d - 1]
    for i in range(size):
        alive[d, i] = alive[d - 1, i]
    for w in range(mine.size):
        bits = min(max(slots - w * BITS, 0), BITS)
        lacking = ((np.int64(1) << bits) - 1) & ~mine[w]
        kept = 0
        if lacking:
            for i in range(size):
                z = alive[d, i]
                alive[d, kept] = z
                kept += (theirs[w, z] & lacking) == lacking
            size = kept
    count[d] = size


@part
def _ones(word: Any) -> Any:
    """Return how many bits of a word are 1 (Warren 2013, Hacker's Delight, section 5-1)."""
    word = word - ((word >> 1) & 0x5555555555555555)
    word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0F
    return ((word & 0xFFFFFFFF) * 0x01010101 >> 24 & 0xFF) + ((word >> 32) * 0x01010101 >> 24 & 0xFF)


@part
def _leaf(values: Any, alive: Any, mine: Any, theirs: Any, at: Any) -> None:
    """Write, by slot, what a leaf of weight 1 is worth, summed over the background that is left."""
    slots, table = at
    for i in range(slots):
        values[i] = 0
    for z in alive:
        inside, outside = 0, 0
        for w in range(mine.size):
            inside += _ones(mine[w] & ~theirs[w, z])
            outside += _ones(theirs[w, z] & ~mine[w])
        share = table[inside, inside + outside]
        more = share / inside if inside else 0.0
        less = share / outside if outside else 0.0
        for w in range(mine.size):
            wins, losses = mine[w] & ~theirs[w, z], theirs[w, z] & ~mine[w]
            for i in range(min(slots - w * BITS, BITS)):
                values[w * BITS + i] += more * ((wins >> i) & 1) - less * ((losses >> i) & 1)


@part
def _spread(out: Any, values: Any, names: Any, at: Any, context: Any) -> None:
    first, column, weight = context[1]
    node, row, slots = at
    for w in range(first[node], first[node + 1]):
        for i in range(slots):
            if names[i] < out.shape[1]:
                out[row, names[i], column[w]] += weight[w] * values[i]
