"""What trees say of few rows, in numpy: compiling the kernels would take longer than they save."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

BLOCK = 2**18
"""Numbers of leaves, slots and rows of the background that are held at once, about."""

_TESTS = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)


def passes(x: NDArray[Any], node: NDArray[Any], tests: tuple[Any, ...]) -> Bools:
    """Return whether values [nodes, rows] pass their nodes' tests, missing or not."""
    _, threshold, mode, missing, _, _, first, values, whole = tests
    found, modes = np.isnan(x) & missing[node][:, None], mode[node]
    for number, holds in enumerate(_TESTS):
        at = np.flatnonzero(modes == number)
        found[at] |= holds(x[at], threshold[node[at]][:, None])
    for i in np.flatnonzero(modes == len(_TESTS)):
        chosen = int(threshold[node[i]])
        look = np.trunc(x[i]) if whole[chosen] else x[i]
        found[i] |= np.isin(look, values[first[chosen] : first[chosen + 1]])
    return np.asarray(found)


def leaf_sums(out: NDArray[Any], columns: NDArray[Any], tests: tuple[Any, ...], held: tuple[Any, ...]) -> None:
    """Add to ``out`` [rows, columns of weights] what the leaves say that each row of ``columns`` [F, rows] ends in."""
    feature, other, start = tests[0], tests[4], tests[5]
    node, row = np.tile(start[:-1], len(out)), np.repeat(np.arange(len(out)), start.size - 1)
    live = np.flatnonzero(other[node] >= 0)
    while live.size:
        at = node[live]
        x = columns[feature[at], row[live]][:, None]
        node[live] = np.where(passes(x, at, tests)[:, 0], at + 1, other[at])
        live = live[other[node[live]] >= 0]
    owner, weights = _weights(node, held)
    np.add.at(out, (row[owner], held[1][weights]), held[2][weights])


def add_few(out: NDArray[Any], columns: NDArray[Any], background: NDArray[Any], context: Any, table: Any) -> None:
    """Add to ``out`` [players, columns, rows] Shapley values, leaf by leaf as ``tree_pairs`` has them.

    Args: table: from ``shares``.
    """
    held = context[1]
    for block in _blocks(context, background.shape[1]):
        (mine, names), (theirs, _) = (_met(block, of, context) for of in (columns, background))
        owner, weights = _weights(block, held)
        kept = names[owner] < len(out)  # the player behind the last is the one that nothing depends on
        for row in range(columns.shape[1]):
            worth = held[2][weights][:, None] * _worth(mine[..., row, None], theirs, table)[owner]
            into = np.broadcast_to(held[1][weights][:, None], kept.shape)[kept]
            np.add.at(out[..., row], (names[owner][kept], into), worth[kept])


def expected(out: NDArray[Any], context: Any, covers: NDArray[Any]) -> None:
    """Add to ``out`` [columns] the mean of the leaves' weights by their covers: what nobody's values are worth."""
    tests, held, (parent, _, depth, _, _), _ = context
    share = np.ones(covers.size)
    order = np.argsort(depth, kind="stable")
    for level in np.split(order, np.cumsum(np.bincount(depth)))[1:]:
        share[level] = share[parent[level]] * covers[level] / covers[parent[level]]
    leaves = np.flatnonzero(tests[4] < 0)
    owner, weights = _weights(leaves, held)
    np.add.at(out, held[1][weights], share[leaves][owner] * held[2][weights])


def add_few_covers(out: NDArray[Any], columns: NDArray[Any], context: Any, covers: Any, rule: Any) -> None:
    """Add to ``out`` [players, columns, rows] path-dependent values, leaf by leaf as ``tree_covers`` has them."""
    held = context[1]
    for block in _blocks(context, columns.shape[1]):
        met, names = _met(block, columns, context)
        slots = names.shape[1]  # a leaf's further ones are met by everybody, and worth nothing
        apart = np.ones((*names.shape, 1))
        for at, node, above in _climb(block, context):
            apart[at, context[2][3][above], 0] *= covers[node] / covers[above]
        values = np.zeros(met.shape)
        for t, weight in zip(*(of[slots, : (slots + 1) // 2] for of in rule), strict=True):
            factors = np.pad(t * met + (1 - t) * apart, ((0, 0), (1, 1), (0, 0)), constant_values=1)
            before = np.cumprod(factors, axis=1)[:, :-2]
            behind = np.cumprod(factors[:, ::-1], axis=1)[:, -3::-1] if slots else before
            values += weight * (met - apart) * before * behind
        owner, weights = _weights(block, held)
        kept = names[owner] < len(out)
        into = np.broadcast_to(held[1][weights][:, None], kept.shape)[kept]
        np.add.at(out, (names[owner][kept], into), (held[2][weights][:, None, None] * values[owner])[kept])


def shares(size: int) -> NDArray[np.float64]:
    """Return p! n! / (p + n)! for p and n below ``size``, by their sum: [p, p + n]."""
    table, total = np.zeros((size, size)), np.arange(size)
    table[:1] = 1
    for p in range(1, size):
        table[p, p:] = table[p - 1, p:] * p / (total[p:] - p + 1)
    apart = total - total[:, None]  # from the middle on by symmetry: of many players what lies there is 0 in float64
    return np.where(apart < total[:, None], table[np.abs(apart), total], table) * (apart >= 0)


def _worth(mine: Bools, theirs: Bools, table: NDArray[Any]) -> NDArray[Any]:
    """Return what leaves of weight 1 are worth to one row [leaves, slots], as a mean over the background."""
    wins, losses, closed = mine & ~theirs, theirs & ~mine, ~(mine | theirs).all(axis=1)
    inside, outside = wins.sum(axis=1), losses.sum(axis=1)
    share = np.where(closed, 0, table[inside, inside + outside]) / theirs.shape[2]
    more, less = share / np.maximum(inside, 1), share / np.maximum(outside, 1)
    return np.asarray(np.einsum("lsm,lm->ls", wins, more) - np.einsum("lsm,lm->ls", losses, less))


def _blocks(context: Any, rows: int) -> Iterator[NDArray[Any]]:
    """Yield leaves by the number of their slots, so that a block's slots are about as many as its last leaf has."""
    width = context[2][4]
    leaves = np.flatnonzero(context[0][4] < 0)
    leaves = leaves[np.argsort(width[leaves], kind="stable")]
    while leaves.size:
        sizes = width[leaves].astype(np.int64) * np.arange(1, leaves.size + 1) * rows
        block, leaves = np.split(leaves, [max(int(np.searchsorted(sizes, BLOCK)), 1)])
        yield block


def _climb(leaves: NDArray[Any], context: Any) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Yield step by step which leaves have nodes above, which node each has come to, and its parent."""
    parent, at, node = context[2][0], np.arange(leaves.size), leaves
    while True:
        inner = parent[node] >= 0
        at, node = at[inner], node[inner]
        if not at.size:
            return
        yield at, node, parent[node]
        node = parent[node]


def _met(leaves: NDArray[Any], columns: NDArray[Any], context: Any) -> tuple[Bools, NDArray[Any]]:
    """Return by slot whether rows meet all that is asked [leaves, slots, rows], and who is asked [leaves, slots]."""
    tests, _, (_, _, _, slot, width), players = context
    most = int(width[leaves].max())
    met, names = np.ones((leaves.size, most, columns.shape[1]), bool), np.zeros((leaves.size, most), players.dtype)
    for at, node, above in _climb(leaves, context):
        names[at, slot[above]] = players[tests[0][above]]
        passed = passes(columns[tests[0][above]], above, tests)
        met[at, slot[above]] &= passed == (node == above + 1)[:, None]
    return met, names


def _weights(leaves: NDArray[Any], held: tuple[Any, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return of all weights that leaves have the number of the leaf among them, and that of the weight."""
    first = held[0]
    counts = first[leaves + 1] - first[leaves]
    owner = np.repeat(np.arange(leaves.size), counts)
    return owner, np.arange(owner.size) + np.repeat(first[leaves] - (np.cumsum(counts) - counts), counts)
