"""Exact path-dependent Shapley values: a player outside the coalition follows the covers, training's shares of rows.

Of a leaf the value of a coalition is a product over the players asked on its way: for one inside, whether the row
meets all that it is asked; for one outside, the product of the shares in which its branches part. As with a background
(``tree_tables``), Shapley values are integrals of the derivatives of such a product, exact by Gauss-Legendre nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxsal.kernels.native import kernel, part
from onnxsal.kernels.tree_walk import passes


@kernel
def add_covers(out: Any, columns: Any, context: Any, covers: Any, rule: Any, span: Any) -> None:
    """Add to ``out`` [players, columns, rows] the values of the rows of ``columns`` [F, rows] in ``span``."""
    tests, held, ways, _ = context
    first, column, weight = held
    nodes, weights = rule
    met, shares = np.zeros(nodes.shape[0], np.uint8), np.zeros(nodes.shape[0])
    names, values, before = np.zeros(nodes.shape[0], np.int32), np.zeros(nodes.shape[0]), np.zeros(nodes.shape[0] + 1)
    for row in range(span[0], span[1]):
        for leaf in range(tests[4].size):
            if tests[4][leaf] >= 0:
                continue
            slots = ways[4][leaf]
            _climb(leaf, columns, row, context, covers, (met, shares, names))
            for i in range(slots):
                values[i] = 0
            for q in range((slots + 1) // 2):
                _integrate(values, met, shares, slots, before, (nodes[slots, q], weights[slots, q]))
            for w in range(first[leaf], first[leaf + 1]):
                for i in range(slots):
                    if names[i] < out.shape[0]:
                        out[names[i], column[w], row] += weight[w] * values[i]


@part
def _climb(leaf: Any, columns: Any, row: Any, context: Any, covers: Any, way: Any) -> None:
    """Write, by slot, whether the row meets all that the player is asked, its share, and who it is."""
    tests, _, (parent, _, _, slot, width), players = context
    met, shares, names = way
    for i in range(width[leaf]):
        met[i], shares[i] = 1, 1.0
    node, above = leaf, parent[leaf]
    while above >= 0:
        i = slot[above]
        names[i] = players[tests[0][above]]
        shares[i] *= covers[node] / covers[above]
        if passes(columns[tests[0][above], row], above, tests) != (node == above + 1):
            met[i] = 0
        node, above = above, parent[above]


@part
def _integrate(values: Any, met: Any, shares: Any, slots: Any, before: Any, at: Any) -> None:
    """Add one node's part: (a - r) times the product of all others' t a + (1 - t) r."""
    t, weight = at
    before[0] = 1
    for i in range(slots):
        before[i + 1] = before[i] * (t * met[i] + (1 - t) * shares[i])
    behind = 1.0
    for i in range(slots - 1, -1, -1):
        values[i] += weight * (met[i] - shares[i]) * before[i] * behind
        behind *= t * met[i] + (1 - t) * shares[i]
