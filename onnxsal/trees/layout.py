"""Trees in pre-order: the child where a test holds lies right behind its node, so a walk needs one link a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Links:
    """Who leads where, as the file numbers its nodes: branches first meet ``yes`` where their test holds."""

    roots: Indices
    yes: Indices
    no: Indices
    is_leaf: NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """Nodes of all trees in pre-order.

    ``source`` is each one's number in the file, ``other`` where it leads if its test fails (-1: a leaf), ``start``
    where each tree begins, with the end of the last behind it.
    """

    source: Indices
    other: Indices
    start: Indices


def laid_out(links: Links, twice: Callable[[int], Exception]) -> Layout:
    """Return the trees in pre-order; a leaf that several branches share appears once for each.

    Args:
        links: all indices in range.
        twice: makes what is raised of a branch that is reached twice: a cycle, or no tree.
    """
    levels = _levels(links, twice)
    sizes = _sizes(links, levels)
    start = np.concatenate([[0], np.cumsum(sizes[0])])
    source, other = np.empty((2, start[-1]), np.int64)
    places = start[:-1]
    for depth, nodes in enumerate(levels):
        leaf = links.is_leaf[nodes]
        source[places], other[places] = nodes, -1
        if depth + 1 == len(levels):
            break
        behind = places[~leaf] + 1
        apart = behind + sizes[depth + 1][0::2]
        other[places[~leaf]] = apart
        places = np.stack([behind, apart], 1).ravel()
    return Layout(source, other, start)


def _levels(links: Links, twice: Callable[[int], Exception]) -> list[Indices]:
    """Return each depth's nodes: of every branch of the depth above its two children, side by side."""
    seen = np.zeros(len(links.yes), bool)
    levels = [links.roots]
    while (nodes := levels[-1][~links.is_leaf[levels[-1]]]).size:
        unique, counts = np.unique(nodes, return_counts=True)
        again = unique[(counts > 1) | seen[unique]]
        if again.size:
            raise twice(int(again[0]))
        seen[unique] = True
        levels.append(np.stack([links.yes[nodes], links.no[nodes]], 1).ravel())
    return levels


def _sizes(links: Links, levels: list[Indices]) -> list[Indices]:
    """Return how many nodes hang at each node, itself included, depth by depth."""
    sizes = [np.ones(len(nodes), np.int64) for nodes in levels]
    for depth in range(len(levels) - 2, -1, -1):
        sizes[depth][~links.is_leaf[levels[depth]]] += sizes[depth + 1].reshape(-1, 2).sum(axis=1)
    return sizes
