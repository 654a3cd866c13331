"""Exact interventional Shapley values by tables: a group of leaves has a number for every player and every pattern.

Of one leaf, one row and one row of the background the value of a coalition is 1 or 0: the product over the leaf's
players of whether the row (player in) or the background (player out) meets what it is asked. Its Shapley values are
integrals over t from 0 to 1 of the derivatives of the product of t a + (1 - t) c, where a and c are the two bits of a
player (Owen 1972, Multilinear extensions of games): polynomials of a degree below the number of players, so that
Gauss-Legendre nodes of half that number integrate them exactly. At a node t the sum over the background is a product
of one 2 x 2 matrix a player with the counts of the background's patterns, as fast Walsh-Hadamard transforms are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxsal.kernels.native import kernel, part
from onnxsal.kernels.tree_patterns import enter, leaf_patterns, states_of
from onnxsal.kernels.tree_walk import answers

BLOCK = 2048
"""Rows that go through a tree together."""


@part
def _leaf_values(values: Any, counts: Any, work: Any, rule: Any) -> None:
    """Write a leaf's Shapley values [slots, patterns], for the share of the background that has each pattern."""
    nodes, weights = rule
    slots = values.shape[0]
    for q in range((slots + 1) // 2):
        t, weight = nodes[slots, q], weights[slots, q]
        u = 1 - t
        for state in range(work.size):
            work[state] = counts[state]
        for i in range(slots):
            bit = 1 << i
            for base in range(0, work.size, 2 * bit):
                for low in range(base, base + bit):
                    zero, one = work[low], work[low + bit]
                    work[low], work[low + bit] = u * one, t * zero + one
        for i in range(slots):
            bit = 1 << i
            for base in range(0, work.size, 2 * bit):
                for low in range(base, base + bit):
                    out = work[low] / u
                    values[i, low] -= weight * out
                    values[i, low + bit] += weight * ((work[low + bit] - out) / t)


@part
def _column_of(path: Any, slots: Any, player: Any) -> Any:
    for i in range(slots):
        if path[i] == player:
            return i
    path[slots] = player
    return slots


@part
def _fill(table: Any, group: Any, states: Any, context: Any, rule: Any) -> None:
    """Write a group's table [players, columns, states], laid flat, from the background's states."""
    root, path, local, shape = group
    tests, held, ways, players = context
    feature, other = tests[0], tests[4]
    parent, end, _, slot, width = ways
    first, column, weight = held
    here, mine = np.zeros(shape[2], np.int32), np.zeros(shape[0] + 1, np.int32)
    kept = width[root]
    for leaf in range(root, end[root]):
        if other[leaf] >= 0:
            if slot[leaf] >= width[root]:
                kept = max(kept, _column_of(path, kept, players[feature[leaf]]) + 1)
            continue
        slots = width[leaf]
        for i in range(width[root]):
            mine[i] = i
        above = parent[leaf]
        while above >= root:
            if slot[above] >= width[root]:
                mine[slot[above]] = _column_of(path, kept, players[feature[above]])
            above = parent[above]
        leaf_patterns(here, leaf, root, tests, ways)
        counts, work = np.zeros(1 << slots), np.zeros(1 << slots)
        for r in range(states.size):
            counts[here[states[r]]] += 1.0 / states.size
        values = np.zeros((slots, 1 << slots))
        _leaf_values(values, counts, work, rule)
        for w in range(first[leaf], first[leaf + 1]):
            k = local[column[w]]
            for i in range(slots):
                begin = (mine[i] * shape[1] + k) * shape[2]
                for state in range(here.size):
                    table[begin + state] += weight[w] * values[i, here[state]]


@part
def _find(path: Any, node: Any, tests: Any, ways: Any, players: Any) -> None:
    """Write the players on the way to a node, by slot."""
    parent, _, _, slot, _ = ways
    above = parent[node]
    while above >= 0:
        path[slot[above]] = players[tests[0][above]]
        above = parent[above]


@kernel
def fill_tables(tables: Any, groups: Any, columns: Any, context: Any, rule: Any) -> None:
    """Write the tables of groups from the background's ``columns`` [F, rows].

    Args:
        groups: roots; where each one's table begins; its players, columns and states; its tree; by tree the place of
            each column of weights, and the column of each place; the players by place, which this writes.
        context: tests, weights, ways, players by feature.
        rule: Gauss-Legendre nodes and weights on 0 to 1, by number of slots.
    """
    roots, offsets, shapes, tree, (local, _), names = groups
    tests, _, ways, players = context
    depths = ways[2]
    most = 0
    for g in range(roots.size):
        most = max(most, depths[roots[g]])
    patterns = np.zeros((most + 1, columns.shape[1]), np.int32)
    answered, found = np.zeros(patterns.shape, np.uint8), np.zeros(columns.shape[1], np.int32)
    g, node = 0, -1
    while g < roots.size:
        if node < 0 or node >= tests[5][tree[g] + 1] or node < tests[5][tree[g]]:
            node = tests[5][tree[g]]
            for r in range(patterns.shape[1]):
                patterns[0, r] = 0
        enter(node, patterns, answered, ways)
        if node == roots[g]:
            kept, used, states = shapes[g, 0], shapes[g, 1], shapes[g, 2]
            for r in range(found.size):
                found[r] = patterns[depths[node], r]
            states_of(found, node, columns, 0, tests, ways)
            table = tables[offsets[g] : offsets[g] + kept * used * states]
            for i in range(table.size):
                table[i] = 0
            _find(names[g], node, tests, ways, players)
            _fill(table, (node, names[g], local[tree[g]], shapes[g]), found, context, rule)
            g += 1
            node = ways[1][node]
        elif roots[g] >= ways[1][node]:
            node = ways[1][node]
        else:
            answers(answered[depths[node]], columns[tests[0][node]], node, tests)
            node += 1


@kernel
def add_tables(out: Any, tables: Any, groups: Any, columns: Any, context: Any, span: Any) -> None:
    """Add to ``out`` [players, columns, rows] what tables say of the rows of ``columns`` [F, rows] in ``span``."""
    roots, offsets, shapes, tree, (_, used_columns), names = groups
    tests, _, ways, _ = context
    depths = ways[2]
    most = 0
    for g in range(roots.size):
        most = max(most, depths[roots[g]])
    patterns = np.zeros((most + 1, BLOCK), np.int32)
    answered = np.zeros((most + 1, BLOCK), np.uint8)
    found = np.zeros(BLOCK, np.int32)
    for begin in range(span[0], span[1], BLOCK):
        size = min(BLOCK, span[1] - begin)
        g, node = 0, -1
        while g < roots.size:
            if node < 0 or node >= tests[5][tree[g] + 1] or node < tests[5][tree[g]]:
                node = tests[5][tree[g]]
                for r in range(patterns.shape[1]):
                    patterns[0, r] = 0
            enter(node, patterns[:, :size], answered[:, :size], ways)
            if node == roots[g]:
                state = found[:size]
                for r in range(size):
                    state[r] = patterns[depths[node], r]
                states_of(state, node, columns, begin, tests, ways)
                _add(out, tables[offsets[g] :], (shapes[g], names[g], used_columns[tree[g]]), state, begin)
                g += 1
                node = ways[1][node]
            elif roots[g] >= ways[1][node]:
                node = ways[1][node]
            else:
                answers(answered[depths[node], :size], columns[tests[0][node], begin : begin + size], node, tests)
                node += 1


@part
def _add(out: Any, tables: Any, group: Any, state: Any, begin: Any) -> None:
    shape, names, used_columns = group
    kept, used, states = shape[0], shape[1], shape[2]
    for i in range(kept):
        if names[i] < out.shape[0]:  # the player behind the last is the one that nothing depends on
            for k in range(used):
                table = tables[(i * used + k) * states : (i * used + k + 1) * states]
                into = out[names[i], used_columns[k], begin : begin + state.size]
                for r in range(state.size):
                    into[r] += table[np.uint32(state[r])]  # never negative: no index is counted from the end
